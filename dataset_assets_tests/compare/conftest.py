from dataset_assets_tests.browser import _chromium, browser

__all__ = ["_chromium", "browser"]
