import pytest

from dataset_assets.captions.chat.phrases import classify, has_preamble
from dataset_assets.catalog.captions import CaptionStatus

REFUSALS = [
    "I'm sorry, but I can't help with that request.",
    "I’m sorry, I can’t assist with that.",
    "I'm sorry, but I'm unable to describe this image.",
    "I am sorry, but this image contains content that I would rather not describe.",
    "Sorry, I can't help with identifying people in images.",
    "I cannot describe this image because it contains explicit content.",
    "I can't provide a caption for this image.",
    "I'm not able to identify the person in this photograph.",
    "I won't describe this picture.",
    "I will not be able to generate a description of this content.",
    "As an AI, I cannot create captions for adult content.",
    "As an AI language model developed by a company, I don't describe such scenes.",
    "I'm just an AI, it's not within my programming to describe that.",
    "I am an AI assistant and do not caption such pictures.",
    "I must respectfully decline to caption this.",
    "I have to decline.",
    "I'd rather not describe this image.",
    "I don't feel comfortable writing about this picture.",
    "I apologize, but I do not describe people in that way.",
    "Unfortunately, I cannot comply with this request.",
    "That's not something I can help with.",
    "It would be inappropriate for me to describe this image.",
    "It is not possible to provide a description of this content.",
    "This request violates our content policy.",
    "The image appears to violate the usage guidelines.",
    "Unable to provide a description.",
    '"I cannot help with that."',
    "**I'm sorry, but I can't help with this.**",
    "I'm sorry.",
    "I\ncan't\nhelp with that",
]

UNAVAILABLE = [
    "I don't see any image.",
    "I don't see an image attached to your message.",
    "I'm sorry, but I don't see any image in our conversation. Could you please upload it?",
    "I'm sorry, but I can't view images.",
    "I can't see the image you mentioned.",
    "I cannot view or access the attached picture.",
    "I am unable to see the image, so I cannot describe it.",
    "I do not have access to the image.",
    "I don't have the ability to see images.",
    "As a text-based AI, I can't see images directly.",
    "As an AI language model, I do not have the ability to view pictures.",
    "I'm a text-based assistant and cannot see photos.",
    "I'm unable to analyze images at this time.",
    "I haven't received an image yet.",
    "No image was provided.",
    "No image provided. Please upload one.",
    "There is no image attached.",
    "There is no picture to describe.",
    "There doesn't seem to be an image attached to your request.",
    "It seems that no image was uploaded.",
    "It looks like you haven't attached an image.",
    "It seems you forgot to upload the picture.",
    "It appears the image didn't come through.",
    "The image could not be loaded.",
    "Unfortunately, the image you shared could not be displayed.",
    "Your image failed to load, so I can't describe it.",
    "The attached file could not be opened.",
    "The image is not attached.",
    "The image doesn't seem to have been uploaded properly.",
    "Please upload the image.",
    "Please provide the image you would like me to describe.",
    "Could you please share the photo again?",
    "Of course! Please share the image so that I can describe it.",
    "Without seeing the image, I cannot write a caption.",
]

PLACEHOLDERS = [
    "Image not available",
    "Image not available.",
    "This image is no longer available",
    "Sorry, this image is no longer available.",
    "The image is currently unavailable.",
    "No image available",
    "No image",
    "No caption available.",
    "Image not found",
    "Photo coming soon",
    "placeholder image",
    "A placeholder image.",
    "Image placeholder",
    "This is a placeholder image.",
    "A grey placeholder image with a camera icon in the middle.",
    "[insert caption here]",
    "[Insert a description here]",
    "Your caption here",
    "Caption goes here.",
    "N/A",
    "n/a.",
    "None",
    "null",
    "caption",
    "Caption.",
    "<caption>",
    "Description",
    "image",
    "string",
    "Lorem ipsum",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "…",
    "...",
    "---",
    "?",
    "``````",
]

CAPTIONS = [
    "A dog runs over a wet beach at sunset.",
    "A sign that says 'no image available'.",
    'A grey square with the text "This image is no longer available" in the middle.',
    "A screenshot of a web page that reads: I'm sorry, but I can't help with that.",
    "A man who is unable to lift a heavy stone.",
    "A woman holds a sign: I cannot describe how happy I am.",
    "I can't help falling in love with you, written in neon over a bar.",
    "I can't help but smile: a kitten sleeps in a teacup.",
    "I don't see any people in this photo, only an empty beach.",
    "Sorry, we're closed: a wooden sign hangs on a shop door.",
    "Unable to fly, a penguin waddles over the ice.",
    "No photos hang on the white wall of the empty room.",
    "No image of the palace is as famous as this one, taken at dawn.",
    "There are no photos on the wall behind the desk.",
    "There is no image on the television in the corner.",
    "The image is not in focus; a cyclist passes from left to right.",
    "The image cannot be seen clearly through the fog, but shows a bridge.",
    "The image is blank except for a thin black line.",
    "The picture is displayed on an easel in a museum.",
    "The photo was not in colour until someone painted it by hand.",
    "The link of a chain does not open.",
    "I am not able to tell whether it is a dog or a wolf.",
    "I have a picture of my grandmother on my desk, says a note.",
    "We have no file: a neon sign over an archive.",
    "Could you be loved: the title of a record.",
    "Unavoidable delays, reads the board over the platform.",
    "The file is open on a desk, beside a lamp.",
    "No file cabinet stands in the empty office.",
    "Image of a saint, painted on wood.",
    "The photograph was not taken in colour and shows a street in 1920.",
    "The file cabinet does not open; a hand pulls at its drawer.",
    "As an AI-generated scene, it shows a castle above the clouds.",
    "As an aircraft lands, its wheels smoke on the runway.",
    "An AI robot shakes the hand of a woman.",
    "Please do not touch: a statue behind a red rope in a museum.",
    "Please keep off the grass, says a sign in a park.",
    "A description of a plant on a botanical poster.",
    "A caption contest poster on a notice board.",
    "Captions on a television screen read: to be continued.",
    "A photo booth at a wedding.",
    "None of the four cats looks at the camera.",
    "Unknown artist, oil on canvas, a woman with a pearl.",
    "Lorem ipsum text fills a website template in blue and white.",
    "A page of a magazine with placeholder text in two columns.",
    "A black cat",
    "Sunset",
    "7",
    "猫が窓のそばで眠っている。",
    "Un chien court sur la plage.",
    "We are family: four people in matching shirts.",
    "I am a woman, a book cover in red.",
    "Without a doubt the finest sandcastle on the beach.",
    "You haven't lived until you have seen the view over this valley.",
]

PREAMBLES = [
    "Sure! Here is a caption for the image: A dog on a beach.",
    "Sure, a dog on a beach.",
    "Certainly! The image shows a dog.",
    "Of course. Here's the description:\n\nA dog on a beach.",
    "Okay, here's a detailed description of the image: A dog.",
    "Here's a description of the image:\nA dog on a beach.",
    "Here is a caption: A dog.",
    "Here are the tags for this image: dog, beach",
    "Below is a detailed description of the image.",
    "The following is a short caption of the image: A dog.",
    "Caption: A dog on a beach.",
    "**Caption:** A dog on a beach.",
    "**Image Description:** A dog.",
    "Answer: A dog.",
    "assistant: A dog.",
    "Based on the provided image, the dog seems to run.",
    "Based on the image you provided, it is a dog.",
    "I'd be happy to help! The image shows a dog.",
    "Let me describe the image. A dog runs.",
    "A dog on a beach. Let me know if you need more details!",
    "A dog on a beach. Would you like me to shorten it?",
    "A dog on a beach.\n\nI hope this helps!",
    "<think>The user wants a caption.</think> A dog.",
    "A dog on a beach.<|im_end|>",
    "[INST] Describe this image. [/INST] A dog.",
]

UNFRAMED = [
    *CAPTIONS,
    "Here is a man who has caught a very large fish.",
    "Here are four friends at a table.",
    "A sign that says: Caption: none.",
    "A page titled 'Here is a description of the image'.",
    "Great wave: a woodblock print of boats under a wave.",
    "Yes, a neon sign in a window.",
    "Surely the largest pumpkin of the fair, on a cart.",
    "Below is a valley, above are the clouds.",
    "Based on a true story, says the poster of a film.",
    "A title page of an old book.",
    "Okay sign made with a hand.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_no_caption(text: str) -> None:
    assert classify(text) is CaptionStatus.REFUSED


@pytest.mark.parametrize("text", UNAVAILABLE)
def test_a_model_that_has_no_image_to_see_says_so(text: str) -> None:
    assert classify(text) is CaptionStatus.UNAVAILABLE


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_text_that_stands_for_a_caption_is_none(text: str) -> None:
    assert classify(text) is CaptionStatus.PLACEHOLDER


@pytest.mark.parametrize("text", CAPTIONS)
def test_a_caption_stays_one_whatever_it_quotes(text: str) -> None:
    assert classify(text) is CaptionStatus.OK


@pytest.mark.parametrize("text", ["", " ", "\n\t\n", "\u2003"])
def test_white_space_is_no_text(text: str) -> None:
    assert classify(text) is CaptionStatus.EMPTY


@pytest.mark.parametrize("text", PREAMBLES)
def test_words_of_the_chat_are_found(text: str) -> None:
    assert has_preamble(text)


@pytest.mark.parametrize("text", UNFRAMED)
def test_a_caption_has_no_words_of_the_chat(text: str) -> None:
    assert not has_preamble(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, " * 20_000,
        "the image " * 20_000,
        "here is a " * 20_000,
        "caption " * 20_000,
        "as an ai " * 20_000,
        "<|" * 50_000,
        "please upload the image. " * 10_000,
    ],
)
def test_a_text_that_repeats_itself_is_read_to_its_end(text: str) -> None:
    assert classify(text) in CaptionStatus
    assert has_preamble(text) in (True, False)
