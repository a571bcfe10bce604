"""What the errors of stores' libraries mean: what they say, and whether they are about one object or about the store.

No library is imported here: an error can only be of one that is.
"""

import socket
import sys
from collections.abc import Iterator

_FOREIGN = (  # errors that are no OSError
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("fsspec.exceptions", "FSTimeoutError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
_LATE = (  # no answer at all, for as long as the library waits for one
    ("botocore.exceptions", "ReadTimeoutError"),
    ("fsspec.exceptions", "FSTimeoutError"),
)
_OF_ONE = (  # an answer that came late or not to its end
    *_LATE,
    ("botocore.exceptions", "IncompleteReadError"),
    ("botocore.exceptions", "ResponseStreamingError"),
    ("botocore.exceptions", "FlexibleChecksumError"),
    ("aiohttp", "ClientPayloadError"),
)
_OF_ALL = (  # no credentials, no connection, no such place
    ("botocore.exceptions", "BotoCoreError"),
    ("aiohttp", "ClientConnectorError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "ClientAuthenticationError"),
    ("azure.core.exceptions", "ServiceRequestError"),
)
# S3's words for who asks, and where, whatever is asked for; the status of the answer may be that of one object's.
_CODES = frozenset((
    "AccountProblem", "AllAccessDisabled", "AuthFailure", "AuthorizationHeaderMalformed", "CredentialsNotSupported",
    "ExpiredToken", "ExpiredTokenException", "IllegalLocationConstraintException", "InvalidAccessKeyId",
    "InvalidBucketName", "InvalidClientTokenId", "InvalidPayer", "InvalidSecurity", "InvalidToken",
    "MissingSecurityHeader", "NoSuchBucket", "NotSignedUp", "PermanentRedirect", "RequestExpired",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "SlowDown", "TemporaryRedirect", "TokenRefreshRequired",
    "UnrecognizedClientException",
))  # fmt: skip
_TOO_MANY = 429
_BROKEN = 500  # and above: what the store says of itself


def list_foreign() -> tuple[type[BaseException], ...]:
    """Return the errors of libraries that are no OSError."""
    return TimeoutError, *_find(_FOREIGN)


def is_of_store(error: BaseException) -> bool:
    """Return whether a store, as this error says after the retries of its library, would say the same of any object.

    So it is where nobody answers, where the answer is that the store is out of order, and where it does not know who
    asks. That one object may not be read, or is not there, says nothing of the others.
    """
    for one in _chain(error):
        if isinstance(one, _find(_OF_ONE)):
            return False
        if isinstance(one, (ConnectionRefusedError, socket.gaierror, *_find(_OF_ALL))):
            return True
        status = _status_of(one)
        if status or find_code(one):
            return status >= _BROKEN or status == _TOO_MANY or find_code(one) in _CODES
    return False


def is_late(error: BaseException) -> bool:
    """Return whether an answer was waited for in vain. Said of one object, it is not about the store."""
    return any(isinstance(one, (TimeoutError, *_find(_LATE))) for one in _chain(error))


def find_status(error: BaseException) -> int:
    """Return the status of the answer that an error came of, 0 where there was none."""
    return next((status for one in _chain(error) if (status := _status_of(one))), 0)


def find_code(error: BaseException) -> str:
    """Return the word of S3 for an error that is an answer itself, "" for any other."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def say(error: BaseException) -> str:
    """Return what an error says, in one line; its name where it says nothing."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())


def _status_of(error: BaseException) -> int:
    """Return the status of an error that is an answer: botocore's, else gcsfs' or Azure's."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = str(getattr(error, "status_code", None) or getattr(error, "code", None) or "")
    return int(said) if said.isdecimal() else 0


def _find(names: tuple[tuple[str, str], ...]) -> tuple[type[BaseException], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in names)
    return tuple(getattr(module, name) for module, name in loaded if hasattr(module, name))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__
