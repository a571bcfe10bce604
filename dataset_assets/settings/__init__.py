"""dataset.toml: its tables as frozen models, and how it is read. Nothing else of the project is known here."""

from dataset_assets.settings.automation import JOBS, AutomationSettings, Job
from dataset_assets.settings.captions import (
    CaptionSettings,
    ChatSettings,
    ImportedSettings,
    ReviewSettings,
    SelectorSettings,
    SidecarSettings,
    VariantSettings,
)
from dataset_assets.settings.load import CONFIG_VARIABLE, DEFAULT_CONFIG, find_config, load_settings, parse_settings
from dataset_assets.settings.models import (
    BucketSettings,
    CropSettings,
    DatasetSettings,
    DuplicateSettings,
    GallerySettings,
    ImageSettings,
    ReleaseSettings,
    Settings,
    ShardSettings,
    WorkSettings,
    count_cores,
)
from dataset_assets.settings.records import (
    ConditionSettings,
    RecordSettings,
    RecordVariantSettings,
    TrainerSettings,
)
from dataset_assets.settings.sources import (
    ExportSettings,
    FolderSettings,
    ParquetSettings,
    SourceSettings,
    TarSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "JOBS",
    "AutomationSettings",
    "BucketSettings",
    "CaptionSettings",
    "ChatSettings",
    "ConditionSettings",
    "CropSettings",
    "DatasetSettings",
    "DuplicateSettings",
    "ExportSettings",
    "FolderSettings",
    "GallerySettings",
    "ImageSettings",
    "ImportedSettings",
    "Job",
    "ParquetSettings",
    "RecordSettings",
    "RecordVariantSettings",
    "ReleaseSettings",
    "ReviewSettings",
    "SelectorSettings",
    "Settings",
    "ShardSettings",
    "SidecarSettings",
    "SourceSettings",
    "TarSettings",
    "TrainerSettings",
    "VariantSettings",
    "WorkSettings",
    "count_cores",
    "find_config",
    "load_settings",
    "parse_settings",
]
