import pytest

from dataset_assets.captions.review.language import Languages
from dataset_assets.captions.review.words import split_words
from dataset_assets.errors import SettingsError

ENGLISH = [
    "A red barn stands in a green field under a blue sky.",
    "a man riding a wave on top of a surfboard",
    'A sign reading "Willkommen in Berlin" hangs above the entrance of a restaurant',
    "The image shows the Chinese characters 福 and 春 on red paper above a wooden door.",
    "Logo of FC Bayern München on a white wall",
    "Portrait of Johann Sebastian Bach by Elias Gottlob Haussmann, 1748",
    "1girl, solo, long hair, looking at viewer, blush, smile, open mouth, bangs",
    "Sushi, sashimi and tempura platter",
    "Notre-Dame de Paris, Île de la Cité, France",
    "A MAN IN A RED COAT STANDS IN FRONT OF A LARGE BUILDING",
]
FOREIGN = {
    "de": "Ein rotes Haus steht auf einer grünen Wiese unter blauem Himmel.",
    "fr": "Un chat noir dort sur un canapé dans le salon",
    "es": "Retrato de una mujer con vestido rojo",
    "it": "Un gatto nero dorme sul divano del soggiorno",
    "nl": "Een zwarte kat slaapt op de bank in de woonkamer",
    "ru": "Чёрный кот спит на диване в гостиной",
    "uk": "Чорний кіт спить на дивані у вітальні",
    "ja": "黒い猫がリビングのソファで寝ている",
    "zh": "一只黑猫睡在客厅的沙发上,阳光从窗户照进来",
    "ko": "검은 고양이가 거실 소파에서 자고 있다",
    "th": "แมวสีดำนอนหลับอยู่บนโซฟาในห้องนั่งเล่น",
    "ar": "قطة سوداء تنام على الأريكة في غرفة المعيشة",
}


def find(text: str, *wanted: str) -> str:
    found = Languages(wanted).find_foreign(text, split_words(text))
    return found[0] if found else ""


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_not_taken_for_another_language(text: str) -> None:
    assert find(text, "en") == ""


@pytest.mark.parametrize("language", FOREIGN)
def test_a_text_is_foreign_unless_its_language_is_wanted(language: str) -> None:
    assert find(FOREIGN[language], "en") == language
    assert find(FOREIGN[language], language) == ""
    assert find(FOREIGN[language], "en", language) == ""


@pytest.mark.parametrize("text", ENGLISH[:2])
def test_english_is_foreign_where_another_language_is_wanted(text: str) -> None:
    assert find(text, "de", "fr") == "en"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("En rød lade står på en grøn mark under en blå himmel", "no"),
        ("Seekor kucing hitam tidur di sofa ruang tamu", "ms"),
        ("Černá kočka spí na pohovce v obývacím pokoji", "sk"),
    ],
)
def test_near_relatives_are_not_told_apart(text: str, wanted: str) -> None:
    assert find(text, wanted) == ""
    assert find(text, "en") not in ("", wanted)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Schwarzwälder Kirschtorte Konditorei", ""),  # 3 words
        ("Eine Schwarzwälder Kirschtorte Konditorei", "de"),
        ("Un chat et un chien", ""),  # 15 letters
        ("Un chat et un chien dans la rue", "fr"),
        ("猫がソファで", ""),  # 6 characters, 3 words
        ("猫がソファで寝", "ja"),
        ("검은 고양이", ""),
        ("", ""),
    ],
)
def test_short_texts_are_not_judged(text: str, language: str) -> None:
    assert find(text, "en") == language


@pytest.mark.parametrize("text", ["12345 67890 2024-01-01 1200x800 px", "?!?! #### ---- ****", "🐶 🐱 🐭 🐹 🐰 🦊"])
def test_what_is_in_no_language_is_not_foreign(text: str) -> None:
    assert find(text, "en") == ""


def test_the_probability_is_told() -> None:
    text = FOREIGN["fr"]

    found = Languages(["en"]).find_foreign(text, split_words(text))

    assert found is not None
    assert 0.9 < found[1] <= 1


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    text = " ".join([FOREIGN["de"]] * 4 + ENGLISH * 50)

    assert find(text, "en") == "de"


def test_a_language_that_cannot_be_told_is_an_error_in_the_settings() -> None:
    with pytest.raises(SettingsError, match=r'captions\.review\.languages: "nb" given; allowed: ace, af, .* no, '):
        Languages(["en", "nb"])
