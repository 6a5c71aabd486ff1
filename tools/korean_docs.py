"""The Korean texts of the generated parts of docs/ko/: a translation for each cell that holds words.

The key is the English text, so a changed one has no translation until a person has looked at it. The tests compare the
keys with the texts of the code, in both directions.
"""

from __future__ import annotations

import re

__all__ = ["TEXTS", "in_korean", "missing_texts", "words_of"]

_CODE = re.compile(r"`[^`]*`|\[`\w+`\]\(#\w+\)")  # a cell that is the same in all languages
_SEE = re.compile(r"see (\[\w+\]\(#\w+\))")
_BETWEEN = re.compile(r" \| ")

TEXTS = {
    # Headings, and answers to yes-or-no questions.
    "class": "클래스",
    "code": "코드",
    "meaning": "의미",
    "error": "오류",
    "billed": "과금",
    "may work later": "나중에 성공 가능",
    "stops a batch": "배치를 멈춤",
    "way out": "해결 방법",
    "no": "아니요",
    "maybe": "불확실",
    "yes": "예",
    # Classes of errors.
    "The settings cannot work: a URL, a secret, a limit, a certificate, a package that is not installed.":
        "설정이 동작할 수 없습니다: URL, 시크릿, 한도, 인증서, 설치하지 않은 패키지",
    "The run cannot be used, or no longer.":
        "실행을 사용할 수 없거나, 더 이상 사용할 수 없습니다",
    "The ledger cannot be written at present, so nothing is sent; paid answers are kept, and a later run continues.":
        "지금 원장에 쓸 수 없어 아무것도 보내지 않습니다. 과금된 응답은 보관하며, 나중의 실행이 이어서 진행합니다",
    "A masked copy cannot be made for certain, so none is made; the message shows no value.":
        "확실하게 마스킹한 사본을 만들 수 없어 만들지 않습니다. 메시지에는 값이 나오지 않습니다",
    "The image was refused before anything was sent, because the service would refuse or waste it.":
        "서비스가 거절하거나 헛되이 쓸 이미지이므로, 보내기 전에 거절했습니다",
    "The batch was stopped before this image was sent.":
        "이 이미지를 보내기 전에 배치가 멈추었습니다",
    "No time or no place was left to wait for a slot, so nothing was sent.":
        "슬롯을 기다릴 시간이나 자리가 없어 아무것도 보내지 않았습니다",
    "The allowed number of calls is billed, or may have been; this call was not sent.":
        "허용한 수만큼의 호출이 과금되었거나 과금되었을 수 있습니다. 이 호출은 보내지 않았습니다",
    "The call was billed, and its answer is not stored.":
        "호출은 과금되었지만 응답이 저장되어 있지 않습니다",
    "The request failed before its body began to leave: refused, unknown host, no connection in time.":
        "본문을 보내기 전에 요청이 실패했습니다: 연결 거부, 알 수 없는 호스트, 제때 연결되지 않음",
    "The body had begun to leave, and no answer was received in time.":
        "본문을 보내기 시작했으나 제때 응답을 받지 못했습니다",
    "The body had begun to leave, and the connection broke before an answer.":
        "본문을 보내기 시작했으나 응답 전에 연결이 끊겼습니다",
    "The secret is not accepted for this invoke URL.":
        "이 Invoke URL에 맞는 시크릿이 아닙니다",
    "The invoke URL is wrong or of another model, or the domain is not deployed or blocked.":
        "Invoke URL이 잘못되었거나 다른 모델의 것입니다. 또는 도메인이 배포되지 않았거나 차단되었습니다",
    "This request is not accepted; others may be.":
        "이 요청은 받아들여지지 않지만, 다른 요청은 받아들여질 수 있습니다",
    "The domain allows fewer calls at once, or its gateway fewer calls a second; this call did not run.":
        "도메인의 동시 호출 한도나 게이트웨이의 초당 호출 한도를 넘었습니다. 이 호출은 처리되지 않았습니다",
    "The domain's quota of calls is spent; this call did not run.":
        "도메인의 호출 할당량을 다 썼습니다. 이 호출은 처리되지 않았습니다",
    "The service failed; whether it charged for the call is not known.":
        "서비스에 오류가 발생했습니다. 호출이 과금되었는지는 알 수 없습니다",
    "The answer cannot be read, or belongs to another call. Its bytes are kept, because they are probably paid.":
        "응답을 해석할 수 없거나, 다른 호출의 응답입니다. 과금되었을 가능성이 높으므로 바이트를 보관합니다",
    "The service processed the image and read nothing: inferResult FAILURE (no such document) or ERROR.":
        "서비스가 이미지를 처리했지만 아무것도 읽지 못했습니다: inferResult가 FAILURE(그런 문서가 없음) 또는 ERROR",
    # Codes of the service and of the gateway, and HTTP statuses.
    "the URL is invalid": "URL이 올바르지 않음",
    "the secret is not accepted": "시크릿이 받아들여지지 않음",
    "the request body is invalid": "요청 본문이 올바르지 않음",
    "the protocol version is not supported": "지원하지 않는 프로토콜 버전",
    "the path does not belong to this domain's model": "경로가 이 도메인의 모델에 속하지 않음",
    "the number of calls has reached its upper limit": "호출 수가 상한에 도달함",
    "more calls at once than the domain allows": "도메인이 허용하는 동시 호출 수를 넘음",
    "unknown error of the service": "서비스의 알 수 없는 오류",
    "error of the OCR engine": "OCR 엔진의 오류",
    "the domain refuses the call": "도메인이 호출을 거절함",
    "nothing is deployed at this domain": "이 도메인에 배포된 것이 없음",
    "the service is blocked": "서비스가 차단됨",
    "bad request": "잘못된 요청",
    "authentication failed": "인증 실패",
    "permission denied": "권한 없음",
    "not found": "찾을 수 없음",
    "quota exceeded": "할당량 초과",
    "throttled": "호출이 제한됨",
    "rate limited": "호출 속도가 제한됨",
    "the request is too large": "요청이 너무 큼",
    "the endpoint failed": "엔드포인트에 오류가 발생함",
    "the endpoint did not answer in time": "엔드포인트가 제때 응답하지 않음",
    "unexpected error of the gateway": "게이트웨이의 예기치 않은 오류",
    "this URL takes no OCR calls": "이 URL은 OCR 호출을 받지 않음",
    "too many requests": "요청이 너무 많음",
    "bad gateway": "잘못된 게이트웨이",
    "service unavailable": "서비스를 사용할 수 없음",
    # Ways out.
    "compare the invoke URL with the one on the domain's API Gateway integration page in the CLOVA OCR console":
        "Invoke URL을 CLOVA OCR 콘솔에서 도메인의 API Gateway 연동 페이지에 있는 값과 비교하십시오",
    "compare the invoke URL and the secret with those on the domain's API Gateway integration page in the CLOVA OCR "
    "console": "Invoke URL과 시크릿을 CLOVA OCR 콘솔에서 도메인의 API Gateway 연동 페이지에 있는 값과 비교하십시오",
    "check that the image opens, has one page, and is a JPEG, PNG, PDF or TIFF":
        "이미지가 열리는지, 한 페이지인지, JPEG, PNG, PDF, TIFF 중 하나인지 확인하십시오",
    "check that the invoke URL is of a Document domain": "Invoke URL이 Document 도메인의 것인지 확인하십시오",
    "ask for the document that the domain was made for, or give the invoke URL of a domain made for this one":
        "도메인이 지원하는 문서를 요청하거나, 이 문서를 위해 만든 도메인의 Invoke URL을 쓰십시오",
    "raise it in the console, or wait until it is renewed":
        "콘솔에서 할당량을 늘리거나, 갱신될 때까지 기다리십시오",
    "deploy the domain's model in the CLOVA OCR console": "CLOVA OCR 콘솔에서 도메인의 모델을 배포하십시오",
    "check the domain's state in the CLOVA OCR console, or ask NAVER Cloud's support":
        "CLOVA OCR 콘솔에서 도메인의 상태를 확인하거나, 네이버 클라우드 고객 지원에 문의하십시오",
    "send a smaller image": "더 작은 이미지를 보내십시오",
    # Exit codes.
    "All images were read.": "모든 이미지를 읽었습니다",
    "Some images failed, were skipped or are ambiguous; or lines could not be written; or `verify` found something.":
        "실패했거나, 건너뛰었거나, 과금이 불확실한 이미지가 있습니다. "
        "또는 쓰지 못한 줄이 있거나, `verify`가 무언가를 찾았습니다",
    "The usage or the configuration is wrong, or the run cannot be used.":
        "사용법이나 설정이 잘못되었거나, 실행을 사용할 수 없습니다",
    "The secret was rejected.": "시크릿이 거부되었습니다",
    "The command stopped early: a spent quota, a reached call limit, a full disk, an outage, a locked ledger, "
    "or a database that is away. With `--run` the same command resumes.":
        "명령이 일찍 멈추었습니다: 할당량 소진, 호출 한도 도달, 디스크 부족, 장애, 잠긴 원장, "
        "응답하지 않는 데이터베이스. "
        "`--run`이 있으면 같은 명령으로 실행을 이어서 진행합니다",
    "No images were found.": "이미지를 찾지 못했습니다",
    "The command was interrupted.": "명령이 중단되었습니다",
    # Numbers that are hidden.
    "place in the answer": "응답에서의 위치",
    "number": "번호",
    "hidden": "가리는 부분",
    "card number": "카드 번호",
    "expiry date of a card": "카드 유효 기간",
    "resident registration number": "주민등록번호",
    "alien registration number": "외국인등록번호",
    "driver's licence number": "운전면허 번호",
    "passport number": "여권 번호",
    "machine readable zone": "기계 판독 영역",
    "`standard`: whole; `all`: whole": "`standard`: 전체, `all`: 전체",
    "`standard`: the last seven digits; `all`: whole": "`standard`: 뒤 일곱 자리, `all`: 전체",
    "`standard`: all but the first six and the last four digits; `all`: whole":
        "`standard`: 앞 여섯 자리와 뒤 네 자리를 뺀 나머지, `all`: 전체",
}  # fmt: skip
"""The Korean texts by the English ones."""


def words_of(part: str) -> set[str]:
    """Return the cells of a generated part that need a translation; a part without a table has none."""
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    cells = {cell for row in rows for cell in _BETWEEN.split(row[2:-2])}
    return {cell for cell in cells if not _CODE.fullmatch(cell) and not _SEE.fullmatch(cell)}


def missing_texts(part: str) -> list[str]:
    """Return the cells of a generated part that have no Korean text."""
    return sorted(words_of(part) - TEXTS.keys())


def in_korean(part: str) -> str:
    """Return a generated part in Korean.

    Raises:
        LookupError: A cell has no Korean text.
    """
    if missing := missing_texts(part):
        message = f"tools/korean_docs.py has no Korean text for: {missing[0]}"
        raise LookupError(message)
    return "\n".join(
        f"| {' | '.join(map(_cell, _BETWEEN.split(line[2:-2])))} |" if line.startswith("| ") else line
        for line in part.splitlines()
    )


def _cell(text: str) -> str:
    return _SEE.sub(r"\1 참고", TEXTS.get(text, text))
