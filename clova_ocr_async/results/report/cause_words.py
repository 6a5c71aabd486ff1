"""The words of the causes, in English and Korean: data only."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BILLED",
    "IN_FLIGHT",
    "MAYBE_BILLED",
    "NOT_BILLED",
    "NOT_KEPT",
    "NOT_MASKED",
    "NOT_OPENED",
    "NOT_READABLE",
    "OTHER_BILLS",
    "OTHER_CALL",
    "PENDING",
    "PICTURES",
    "CauseWords",
    "Text",
    "hint_of",
    "titles_of",
    "with_hint",
]

Text = dict[str, str]
"""A text by its language, "en" and "ko"."""


class CauseWords(NamedTuple):
    """The words of a cause.

    Attributes:
        title: What happened.
        hint: The way out.
    """

    title: Text
    hint: Text


def _text(en: str, ko: str) -> Text:
    return {"en": en, "ko": ko}


NOT_MASKED = CauseWords(
    _text("The numbers cannot be masked for certain", "번호를 확실하게 마스킹할 수 없습니다"),
    _text(
        "The image was read. Its values are not shown here; the report shows them with --unmasked.",
        "이미지는 읽었지만 값은 여기에 표시하지 않습니다. --unmasked로 만든 보고서에는 표시합니다.",
    ),
)
NOT_KEPT = CauseWords(
    _text("Read, but the answer is not kept", "읽었지만 응답이 남아 있지 않습니다"),
    _text(
        "The run stores no answers, or they were purged. The image was read and paid for.",
        "응답을 저장하지 않는 실행이거나, 응답이 삭제되었습니다. 이미지는 읽었으며 과금되었습니다.",
    ),
)
IN_FLIGHT = CauseWords(
    _text("The request is in flight", "요청을 보내고 응답을 기다리는 중입니다"),
    _text("A batch waits for its answer.", "진행 중인 배치가 응답을 받습니다."),
)
PENDING = CauseWords(
    _text("Not sent yet", "아직 보내지 않았습니다"),
    _text(
        "The next batch on this run reads these images. The command also sends images again that failed unpaid.",
        "이 실행의 다음 배치가 이 이미지를 읽습니다. 아래 명령은 과금 없이 실패한 이미지도 다시 보냅니다.",
    ),
)
NOT_READABLE = CauseWords(
    _text("The file is not a picture that the service reads", "서비스가 읽을 수 있는 이미지가 아닙니다"),
    _text(
        "Nothing was sent and nothing was paid. Mend or replace the files, then run the command.",
        "보내지 않았으므로 과금되지 않았습니다. 파일을 고치거나 바꾼 뒤 아래 명령을 실행하십시오.",
    ),
)

NOT_OPENED = CauseWords(
    _text("The file could not be opened", "파일을 열지 못했습니다"),
    _text(
        "Nothing was sent and nothing was paid. Make it readable, and give its path to clova-ocr batch again.",
        "보내지 않았으므로 과금되지 않았습니다. 읽기 권한을 확인한 뒤, 그 경로로 clova-ocr batch를 다시 실행하십시오.",
    ),
)

# A kind, a part of its error's message, and the further options of the command; None if it needs the paths as well.
PICTURES: tuple[tuple[str, str, tuple[str, ...] | None, CauseWords], ...] = (
    (
        "file gone",
        "the file is no longer there",
        None,
        CauseWords(
            _text("The file is no longer there", "파일이 제자리에 없습니다"),
            _text(
                "Put the file back, and give its path to clova-ocr batch again.",
                "파일을 원래 자리에 다시 두고, 그 경로로 clova-ocr batch를 다시 실행하십시오.",
            ),
        ),
    ),
    (
        "several pages",
        "read its pages with pages_in",
        None,
        CauseWords(
            _text("The file has several pages", "여러 페이지짜리 파일입니다"),
            _text(
                "Give its path to clova-ocr batch again, with --pages all. Each page is a call of its own.",
                "--pages all을 추가해 그 경로로 clova-ocr batch를 다시 실행하십시오. 페이지마다 한 번씩 호출합니다.",
            ),
        ),
    ),
    (
        "needs preparation",
        "with prepare=Preparation()",
        ("--prepare",),
        CauseWords(
            _text("The picture must be converted first", "먼저 변환해야 하는 이미지입니다"),
            _text(
                "The command converts, turns and shrinks the pictures before it sends them.",
                "아래 명령은 이미지를 변환하고, 바로 세우고, 줄인 뒤에 보냅니다.",
            ),
        ),
    ),
    (
        "truncated",
        "with ImageLimits.allow_truncated",
        ("--allow-truncated",),
        CauseWords(
            _text("The end of the file is missing", "파일의 끝이 잘렸습니다"),
            _text(
                "Get the whole file. Or the command sends it as it is; the call is paid even if nothing is read.",
                "온전한 파일을 구하십시오. 아래 명령은 파일을 그대로 보내며, 아무것도 읽지 못해도 과금됩니다.",
            ),
        ),
    ),
    (
        "cut off",
        " is cut off: ",
        (),
        CauseWords(
            _text("The end of the file is missing", "파일의 끝이 잘렸습니다"),
            _text("Get the whole file, then run the command.", "온전한 파일을 구한 뒤 아래 명령을 실행하십시오."),
        ),
    ),
)

OTHER_CALL = _text("The answer was that of another call", "다른 호출의 응답이 왔습니다")
_TITLES: dict[str, Text] = {
    "ResponseTimeoutError": _text("No answer arrived in time", "제시간에 응답이 오지 않았습니다"),
    "ConnectionLostError": _text("The connection broke before the answer", "응답이 오기 전에 연결이 끊겼습니다"),
    "ConnectionFailedError": _text("No connection could be made", "연결하지 못했습니다"),
    "ServerError": _text("The service failed", "서비스에 오류가 발생했습니다"),
    "RateLimitError": _text("Too many calls at once", "동시 호출이 너무 많았습니다"),
    "QuotaExceededError": _text("The quota of calls is spent", "호출 할당량을 다 썼습니다"),
    "InvalidRequestError": _text("The service did not accept the request", "서비스가 요청을 받아들이지 않았습니다"),
    "AuthenticationError": _text("The secret is not accepted", "Secret Key가 맞지 않습니다"),
    "DomainError": _text("The invoke URL is wrong, or not ready", "Invoke URL이 잘못되었거나 준비되지 않았습니다"),
    "MalformedResponseError": _text("The answer cannot be read", "응답을 해석할 수 없습니다"),
    "RecognitionError": _text("The service read nothing", "서비스가 아무것도 읽지 못했습니다"),
    "AnswerNotKeptError": _text("The answer could not be stored", "응답을 저장하지 못했습니다"),
}
_HINTS: dict[str, Text] = {
    "RecognitionError": _text(
        "Look whether the pictures are sharp and show this kind of document. The calls were billed; the command pays "
        "for them again.",
        "이미지가 선명한지, 이 종류의 문서인지 확인하십시오. 이미 과금되었으며, 아래 명령을 실행하면 또 과금됩니다.",
    ),
}
MAYBE_BILLED = _text(
    "Whether these calls were billed is not known. The command sends them again, and may pay a second time.",
    "과금되었는지 알 수 없는 호출입니다. 아래 명령은 이미지를 다시 보내므로 두 번 과금될 수 있습니다.",
)
BILLED = _text(
    "These calls were billed. The command sends them again, and pays again.",
    "이미 과금된 호출입니다. 아래 명령은 이미지를 다시 보내므로 다시 과금됩니다.",
)
NOT_BILLED = _text(
    "These calls were not billed. The command sends them again.",
    "과금되지 않은 호출입니다. 아래 명령은 이미지를 다시 보냅니다.",
)


OTHER_BILLS: dict[str, Text] = {
    "succeeded": _text("Read", "읽음"),
    "sent again": _text(
        "Paid before, then sent again on request",
        "과금된 뒤 요청에 따라 다시 보냄",
    ),
    "in flight": _text("In flight", "응답 대기 중"),
}
"""The titles of what is paid for without a cause."""


def titles_of(name: str, code: str | None) -> Text:
    """Return the title of an error's class, with its code."""
    title = _TITLES.get(name) or _text(name, name)
    return title if code is None else {language: f"{text} ({code})" for language, text in title.items()}


def hint_of(name: str, otherwise: Text) -> Text:
    """Return the hint of an error's class; another one if it has none of its own."""
    return _HINTS.get(name, otherwise)


def with_hint(title: Text, hint: Text) -> CauseWords:
    """Return the words of a title and a hint."""
    return CauseWords(title, hint)
