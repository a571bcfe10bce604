"""What models say in place of a caption, and around one: English phrases, and no more than phrases.

A caption may quote any of them ("a sign that says 'no image available'"), so a pattern fits only where no caption would
have it: at the start of the text, in the first person or to a reader; or as the whole text. What becomes of an answer
is decided elsewhere.
"""

import re

from dataset_assets.catalog.captions import CaptionStatus

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})
_EDGES = " \"'`*_#[](){}<>.!?…-–—:;,|~="  # around a text, and no part of what it says


def _any(words: str) -> str:
    """Return a pattern for one of some phrases, parted by bars, over one or more lines."""
    return f"(?:{'|'.join(word.strip() for word in words.split('|'))})"


def _maybe(words: str) -> str:
    """Return a pattern for one of some phrases and a space, or nothing."""
    return f"(?:{_any(words)} )?"


def _starting(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


# --- the parts of sentences ---------------------------------------------------------------------------------------

_IMAGE = _any(
    """images?|pictures?|photos?|photographs?|screenshots?|pics?|files?|attachments?|links?|urls?|visuals?
    |visual content|visual input|visual information"""
)
_WHICH = "(?:{} ){{0,6}}".format(  # what stands before it
    _any(
        """an?|any|the|this|that|these|those|your|of|to|actual|attached|uploaded|provided|requested|specific|original
        |external|such|image|visual|valid"""
    )
)
_THE_IMAGE = _WHICH + _IMAGE
_SEE = _any("see|view|find|access|open|load|receive|display|detect|perceive|retrieve|have access to|look at")
_SEND = _any("upload|reupload|re-upload|attach|provide|share|send|resend|submit")
_SENT = _any("attached|uploaded|provided|included|given|shared|sent|received|supplied|submitted")
_AI = (  # "As an AI language model developed by …, ", but not "As an AI-generated scene"
    "as an? "
    + _maybe("text-based|text based|text-only")
    + _any("ai|a\\.i\\.|artificial intelligence|language model|large language model|chatbot|virtual assistant")
    + r"(?![-\w])[^.,;:!?]{0,80}[,;]? "
)
_VERY = _maybe("so|very|really|truly|terribly")
_SORRY = (
    rf"(?:(?:i'm|i am|we're|we are) {_VERY}(?:sorry|afraid)|"
    r"sorry|(?:my )?apologies|i apologi[sz]e(?: for [^.,;!]{1,40})?|i regret(?: to (?:say|inform you))?(?: that)?|"
    r"unfortunately|regrettably|oops)[,.;:!]* ?(?:[-–—] ?)?(?:but |however,? )?"
)
_START = f"(?:{_SORRY}){{0,2}}(?:{_AI})?(?:{_SORRY})?"  # bounded, as all repetition here: a model may repeat itself
_SEEMS = "(?:(?:it (?:seems|looks|appears)(?: like| as if| as though)?(?: that)?|i (?:think|believe)),? )?"
_HOW = _maybe("actually|currently|directly|physically|really|ethically|responsibly|yet")
_CANNOT = (
    f"(?:i|we)(?:(?:'m|'re| am| are) {_maybe('currently|also|just|really')}"
    + _any("unable|not able|not allowed|not permitted|not equipped|not designed|not programmed")
    + f" to| {_maybe('really|simply|also|currently')}"
    + _any("cannot|can't|can not|could not|couldn't|won't|will not")
    + "(?: be able to)?|"
    f" (?:don't|do not) (?:currently )?have the (?:ability|capability|capacity) to) {_HOW}"
)
_DO = (  # what a model will not do; not "can't help but smile", "can't help falling in love"
    r"(?:(?:help|assist)(?=$|[.,;!]| (?:you|with|in|here|on|describe|create|generate)\b)|"
    r"give (?:you )?(?:an?|any|the)\b|answer (?:that|this|your)\b|do (?:that|this|so)\b|"
    + _any(
        """describe|caption|provide|comply|fulfil|fulfill|generate|create|produce|write|identify|analy[sz]e|interpret
        |process|discuss|engage|comment"""
    )
    + r"\b)"
)
_THING = _any(
    "image|photo|picture|photograph|preview|thumbnail|caption|description|text|alt text|content|media|file|page|cover"
)
_ABOUT = _any("caption|description|summary|alt[- ]text|prompt|analysis|breakdown|title|tags?|answer|response") + "s?"

# --- there is no image to see -------------------------------------------------------------------------------------

_UNAVAILABLE = _starting(
    # "I don't see any image", "I'm sorry, but I can't open the attached picture"; not "I don't see any people".
    rf"{_START}(?:{_CANNOT}|(?:i|we) (?:don't|do not|didn't|did not|haven't|have not) {_HOW})"
    rf"(?:{_SEE}|received|have)(?:(?:,|,? or|,? and|/) \w+){{0,3}} {_THE_IMAGE}\b(?! (?:clearly|well|in detail)\b)",
    # "I'm unable to analyze images": of images as such, where "this image" is a refusal.
    rf"{_START}{_CANNOT}(?:see|view|analy[sz]e|interpret|process)(?:,? (?:or|and) \w+){{0,3}} "
    r"(?:images|pictures|photos)\b",
    # "I am a text-based AI and cannot see images."
    rf"i(?:'m| am) an? (?:text[- ](?:based|only)|language|ai)\b[^.!?]{{0,80}}\b"
    rf"(?:can't|cannot|unable to|not able to) {_HOW}{_SEE}",
    # "No image was provided", "It seems there is no image attached"; not "There are no photos on the wall".
    rf"{_START}{_SEEMS}(?:no|there(?:'s| is| was| are| were) no|there (?:isn't|wasn't) an?|"
    rf"there (?:doesn't|does not) (?:seem|appear) to be (?:an?|any)) {_THE_IMAGE} "
    rf"{_maybe('was|were|is|are|has been|have been')}{_HOW}(?:{_SENT}|here\b|for me\b|"
    r"in (?:your|the|this) (?:message|request|prompt|conversation|chat)|to (?:describe|caption|analy[sz]e|see|view)\b)",
    # "The image could not be loaded", "Your picture didn't come through"; not "The image cannot be seen clearly".
    rf"{_START}{_SEEMS}{_THE_IMAGE}(?: (?:you|that) [\w' ]{{1,30}}?)? "
    + _any(
        """could not|couldn't|cannot|can't|can not|failed to|did not|didn't|does not|doesn't|was not|wasn't|were not
        |weren't|has not|hasn't|have not|haven't"""
    )
    + "(?: {}){{0,5}} ".format(_any("have|been|be|seem|appear|to|properly|successfully|correctly|actually"))
    + _any(
        """load(?:ed)?|open(?:ed)?|display(?:ed)?|render(?:ed)?|process(?:ed)?|accessed|retrieved|attach(?:ed)?
        |upload(?:ed)?|download(?:ed)?|received|provided|included|found|come through|came through|viewed|read"""
    )
    + r"(?=$|[.,;!]| (?:properly|correctly|successfully|so|for|to|in|with|at|due|because|and|yet|here|on)\b)",
    # "The image is not attached".
    rf"{_START}{_SEEMS}{_THE_IMAGE} (?:is not|isn't|are not|aren't) "
    rf"(?:{_SENT}|{_any('loading|loaded|accessible|showing up|coming through|visible to me')})\b",
    # "You haven't attached an image", "It looks like you forgot to upload the picture".
    rf"{_START}{_SEEMS}you(?: have not| haven't| did not| didn't| forgot to|'ve forgotten to| have forgotten to|"
    rf" (?:may|might) (?:not have|have forgotten to|have not)) {_HOW}"
    rf"(?:attach|upload|provid|includ|shar|sen[dt]|submit)\w* (?:me )?{_THE_IMAGE}\b",
    # "Please upload the image".
    rf"{_START}(?:please|could you|can you|would you|kindly) (?:please )?{_SEND} (?:me )?{_THE_IMAGE}\b",
    # "Without seeing the image, I …".
    rf"without {_HOW}(?:seeing|viewing|access to|being able to (?:see|view)) {_THE_IMAGE}\b[^.!?]{{0,40}}, i\b",
)
_PLEASE = re.compile(  # "… Please share the image so I can describe it.": a later sentence, if it is said to someone
    rf"[.!?] (?:please|could you|can you|would you|kindly) (?:please )?{_SEND} (?:me )?{_THE_IMAGE}[^.!?]{{0,20}} "
    r"(?:so (?:that )?i\b|you(?:'d| would) like|and i\b)",
    re.IGNORECASE,
)

# --- the model will not -------------------------------------------------------------------------------------------

_REFUSED = _starting(
    # "I'm sorry, but I can't help with that", "I cannot describe …", "As an AI, I am unable to provide …".
    rf"{_START}{_CANNOT}{_DO}",
    # "I'm sorry, but …": a caption is not sorry.
    rf"(?:i'm|i am) {_VERY}sorry,? (?:but\b|i can|i'm (?:not|un))",
    r"i apologi[sz]e,? but\b",
    rf"(?:i'm |i am |we're )?{_VERY}sorry[.!]*$",
    # "As an AI language model, I …", "I am an AI assistant …".
    rf"{_AI}(?:i|my|it is not|it's not)\b",
    r"i(?:'m| am) (?:just |only |simply )?an? (?:ai|artificial intelligence|(?:large )?language model)(?![-\w])",
    # "I must decline", "I'd rather not describe …", "I don't feel comfortable …".
    rf"{_START}(?:i|we) (?:must|have to|will have to|need to) (?:respectfully |politely )?(?:decline|refuse)",
    rf"{_START}(?:i|we)(?:'d| would|'m| am)? ?(?:respectfully )?(?:decline|refuse|prefer not|rather not|not going)"
    rf"(?: to)? {_DO}",
    rf"{_START}(?:i|we)(?:'m not| am not| don't feel| do not feel) comfortable\b",
    # "That is not something I can help with", "It would be inappropriate to describe …".
    rf"{_START}(?:that|this)(?:'s| is) (?:not )?something (?:that )?i (?:can|am|'m)",
    rf"{_START}it(?:'s| is| would be| wouldn't be| isn't) (?:not |in)?(?:appropriate|possible)(?: for me)? to {_DO}",
    # "This request violates our content policy".
    rf"{_START}(?:this|the|your|that) {_maybe('provided|requested|uploaded')}"
    rf"{_any('request|prompt|image|content|query|input')}s? (?:\w+ ){{0,3}}?(?:violat\w+|goes? against|is against)\b"
    r"[^.!?]{0,60}\b(?:polic|guideline|terms of)",
    # "Unable to provide a caption".
    rf"{_START}(?:unable|not able) to {_DO}(?:$|[.,;!]| (?:an?|any|the|this|that|with|image|caption|description)\b)",
)

# --- a text that stands for a caption -----------------------------------------------------------------------------

_GONE = (
    r"(?:currently |temporarily )?(?:not (?:yet |currently )?(?:available|found)|no longer available|unavailable)|"
    + _any("missing|removed|deleted|coming soon|goes here|here|pending|tbd")
)
_PLACEHOLDER = _starting(  # whole texts
    # "Image not available", "This image is no longer available", "Photo coming soon", "Caption goes here".
    rf"(?:sorry,? )?(?:this |the |that |your |requested ){{0,3}}{_THING}s? (?:(?:is|was|has been|are) )?(?:{_GONE})"
    r"(?: (?:at this time|at the moment|right now|yet|here))?",
    # "No image available", "No caption"; that none was provided is said to someone: unavailable.
    rf"no {_THING}s?(?: (?:is |was )?(?:currently )?(?:available|found|yet|here))?",
    # "[insert caption here]", "Your description".
    r"(?:please )?(?:insert|add|enter|write|put|type|your)(?: (?:an?|the|your|image)){0,3} "
    rf"(?:{_THING}|title|answer)s?(?: goes)?(?: here| text)?",
    # One word where a sentence was asked for.
    rf"n/?a|none|null|nil|undefined|nan|tbd|tba|todo|untitled|unknown|string|(?:image |photo )?{_THING}s?",
    r"lorem ipsum(?: dolor\b.*)?",
    r"(?:an? |the )?(?:\w+ )?placeholder",
)
_PLACEHOLDER_START = _starting(  # "A grey placeholder image with a camera icon": what it shows is none
    r"(?:(?:this|the|it)(?: image| picture| photo)? (?:is|shows|appears to be|seems to be) (?:just |only |simply )?)?"
    r"(?:an? |the )?(?:(?:generic|simple|default|blank|gr[ae]y|white|standard|temporary|empty|plain) ){0,4}"
    r"(?:(?:image|photo|picture|avatar) )?placeholder (?:image|graphic|picture|photo|text|caption)\b(?! of\b)"
)

# --- words of the chat around a caption ---------------------------------------------------------------------------

_PREAMBLE = _starting(
    # "Sure! Here is …", "Certainly, …", "Okay, here's …".
    r"(?:sure(?: thing)?|certainly|of course|absolutely|gladly|no problem|happy to help)\s*[!,.:;–—-]",
    r"(?:ok|okay|alright|great|got it|yes)[!,.:;–—-]+ (?:here|let me|i'll|i will|i can|below|the following)\b",
    # "Here's a detailed description of the image:", "Below is the caption"; not "Here is a man who …".
    rf"here(?:'s| is| are)\b[^.!?:]{{0,60}}\b{_ABOUT}\b",
    rf"(?:below|the following) (?:is|are)\b[^.!?:]{{0,60}}\b{_ABOUT}\b",
    # "Caption: …", "**Image description:** …".
    rf"[*_#\" ]*(?:image |photo |detailed |short |final |revised ){{0,4}}{_ABOUT}[*_\" ]*:",
    r"[*_#\" ]*(?:user|system|assistant|human|ai)[*_]*:",
    # "Based on the provided image, …".
    rf"based on (?:the|this|your) {_WHICH}{_IMAGE}(?: provided| you\b[^.,]{{0,30}})?,",
    r"(?:i'd be|i would be|i'm|i am) (?:happy|glad) to (?:help|assist|describe|provide)",
    r"let me (?:describe|caption|analy[sz]e|provide|take a look)\b",
)
_LEAK = re.compile(  # what belongs to the chat wherever it stands: a last sentence to the reader, a template's tokens
    r"(?:^|[.!?:)*] )"
    + _any(
        """let me know if|feel free to|i hope this helps|hope this helps|would you like me to|is there anything else
        |do you want me to|if you'd like me to|if you would like me to|if you need (?:any|more|further|another)"""
    )
    + r"\b|<\|\w+\|>|</?think>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|^<(?:image|s)>",
    re.IGNORECASE,
)


def classify(text: str) -> CaptionStatus:
    """Return what a model's answer is by its words: OK, EMPTY, REFUSED, UNAVAILABLE or PLACEHOLDER."""
    plain = _flatten(text)
    if not plain:
        return CaptionStatus.EMPTY
    bare = plain.strip(_EDGES)
    if not any(map(str.isalnum, bare)) or _PLACEHOLDER.fullmatch(bare) or _PLACEHOLDER_START.match(bare):
        return CaptionStatus.PLACEHOLDER
    start = plain.lstrip(_EDGES)
    if _UNAVAILABLE.match(start) or _PLEASE.search(start):
        return CaptionStatus.UNAVAILABLE
    if _REFUSED.match(start):
        return CaptionStatus.REFUSED
    return CaptionStatus.OK


def has_preamble(text: str) -> bool:
    """Return whether words of the chat stand around a caption: "Sure! Here is …", "Caption: …", "Let me know if …"."""
    plain = _flatten(text)
    return bool(_PREAMBLE.match(plain) or _LEAK.search(plain))


def _flatten(text: str) -> str:
    """Return the text in one line, with straight quotes."""
    return " ".join(text.translate(_QUOTES).split())
