"""The columns of all tables as data: name, type, Korean label, and the vendor's path.

A type with "several" behind a star is that of an array: the column has its first value, ``<name>_more`` the others. A
number, date or time also has a column ``<name>_text`` with its text as it was read.

Identifiers are text everywhere: Excel keeps 15 digits of a number, and no leading zero.
"""

from __future__ import annotations

__all__ = ["COMMON", "DOCUMENTS", "ITEMS"]

Specification = tuple[str, str, str, str]

COMMON: tuple[Specification, ...] = (
    ("key", "text", "키", ""),
    ("source", "text", "파일", ""),
    ("page", "integer", "페이지", ""),
    ("copy_of", "text", "원본 파일", ""),
    ("sha256", "text", "파일 해시", ""),
    ("document", "text", "문서 종류", ""),
    ("status", "text", "상태", ""),
    ("billed", "boolean", "과금 여부", ""),
    ("error", "text", "오류", ""),
    ("request_id", "text", "요청 ID", "requestId"),
    ("min_confidence", "float", "최저 신뢰도", ""),
    ("review_fields", "text", "확인할 항목", ""),
)

ITEMS: tuple[Specification, ...] = (
    ("key", "text", "키", ""),
    ("item_index", "integer", "순번", ""),
    ("name", "text", "품명", "result.subResults.items.name"),
    ("code", "text", "상품코드", "result.subResults.items.code"),
    ("count", "decimal", "수량", "result.subResults.items.count"),
    ("unit_price", "decimal", "단가", "result.subResults.items.price.unitPrice"),
    ("price", "decimal", "금액", "result.subResults.items.price.price"),
)

_RECEIPT: tuple[Specification, ...] = (
    ("store_name", "text", "상호", "result.storeInfo.name"),
    ("store_branch", "text", "지점명", "result.storeInfo.subName"),
    ("store_biz_num", "text", "사업자등록번호", "result.storeInfo.bizNum"),
    ("store_tel", "text", "전화번호", "result.storeInfo.tel"),
    ("store_address", "text", "주소", "result.storeInfo.addresses"),
    ("payment_date", "date", "결제일", "result.paymentInfo.date"),
    ("payment_time", "time", "결제 시각", "result.paymentInfo.time"),
    ("card_company", "text", "카드사", "result.paymentInfo.cardInfo.company"),
    ("card_number", "text", "카드번호", "result.paymentInfo.cardInfo.number"),
    ("confirm_num", "text", "승인번호", "result.paymentInfo.confirmNum"),
    ("total_price", "decimal", "합계금액", "result.totalPrice.price"),
    ("tax_price", "decimal", "부가세", "result.subTotal.taxPrice"),
    ("discount_price", "decimal", "할인금액", "result.subTotal.discountPrice"),
    ("item_count", "integer", "품목 수", ""),
    ("possible_copy_of", "text", "중복 의심", ""),
)

_CREDIT_CARD: tuple[Specification, ...] = (
    ("number", "text", "카드번호", "result.number"),
    ("valid_thru", "text", "유효기간", "result.validThru"),
    ("name", "text", "이름", "result.name"),
)

_NAME_CARD: tuple[Specification, ...] = (
    ("name", "text*several", "이름", "result.name"),
    ("name_furigana", "text*several", "이름(후리가나)", "result.nameFurigana"),
    ("company", "text*several", "회사명", "result.company"),
    ("department", "text*several", "부서", "result.department"),
    ("address", "text*several", "주소", "result.address"),
    ("position", "text*several", "직위", "result.position"),
    ("mobile", "text*several", "휴대전화", "result.mobile"),
    ("tel", "text*several", "전화번호", "result.tel"),
    ("fax", "text*several", "팩스", "result.fax"),
    ("email", "text*several", "이메일", "result.email"),
    ("homepage", "text*several", "홈페이지", "result.homepage"),
)

_BIZ_LICENSE: tuple[Specification, ...] = (
    ("birth", "date*several", "생년월일", "result.birth"),
    ("bis_address", "text*several", "사업장 소재지", "result.bisAddress"),
    ("bis_area", "text*several", "사업장 면적", "result.bisArea"),
    ("bis_item", "text*several", "종목", "result.bisItem"),
    ("register_number", "text*several", "사업자등록번호", "result.registerNumber"),
    ("bis_type", "text*several", "업태", "result.bisType"),
    ("company_name", "text*several", "상호", "result.companyName"),
    ("co_rep_name", "text*several", "공동대표자", "result.coRepName"),
    ("corp_name", "text*several", "법인명", "result.corpName"),
    ("corp_register_num", "text*several", "법인등록번호", "result.corpRegisterNum"),
    ("co_rep_social_num", "text*several", "공동대표자 주민등록번호", "result.coRepSocialNum"),
    ("document_type", "text*several", "서류 종류", "result.documentType"),
    ("head_address", "text*several", "본점 소재지", "result.headAddress"),
    ("issuance_date", "date*several", "발급일", "result.issuanceDate"),
    ("issuance_reason", "text*several", "발급사유", "result.issuanceReason"),
    ("open_date", "date*several", "개업연월일", "result.openDate"),
    ("rep_name", "text*several", "대표자", "result.repName"),
    ("social_number", "text*several", "주민등록번호", "result.socialNumber"),
    ("tax_type", "text*several", "과세유형", "result.taxType"),
)

_ID_CARD: tuple[Specification, ...] = (
    ("kind", "text", "신분증 종류", "result"),
    ("id_type", "text", "신분증 종류(응답 값)", "result.idtype"),
    ("is_confident", "boolean", "모두 읽음", "result.isConfident"),
    ("name", "text*several", "이름", "result.{ic,dl,ac}.name"),
    ("sur_name", "text*several", "성(영문)", "result.pp.surName"),
    ("given_name", "text*several", "이름(영문)", "result.pp.givenName"),
    ("full_name_kor", "text*several", "한글성명", "result.pp.fullNameKor"),
    ("personal_num", "text*several", "주민등록번호", "result.{ic,dl,pp}.personalNum"),
    ("alien_reg_num", "text*several", "외국인등록번호", "result.ac.alienRegNum"),
    ("alien_reg_num_etc", "text*several", "외국인등록번호(기타)", "result.ac.alienRegNumEtc"),
    ("num", "text*several", "면허번호·여권번호", "result.{dl,pp}.num"),
    ("type", "text*several", "면허·여권 종류", "result.{dl,pp}.type"),
    ("address", "text*several", "주소", "result.{ic,dl}.address"),
    ("birth_date", "date*several", "생년월일", "result.pp.birthDate"),
    ("sex", "text*several", "성별", "result.{pp,ac}.sex"),
    ("nationality", "text*several", "국적", "result.{pp,ac}.nationality"),
    ("issue_country", "text*several", "발행국", "result.pp.issueCountry"),
    ("issue_date", "date*several", "발급일", "result.{ic,dl,pp,ac}.issueDate"),
    ("expire_date", "date*several", "만료일", "result.pp.expireDate"),
    ("renew_start_date", "date*several", "갱신기간 시작일", "result.dl.renewStartDate"),
    ("renew_end_date", "date*several", "갱신기간 종료일", "result.dl.renewEndDate"),
    ("authority", "text*several", "발급기관", "result.{ic,dl,pp,ac}.authority"),
    ("authority_eng", "text*several", "발급기관(영문)", "result.ac.authorityEng"),
    ("visa_type", "text*several", "체류자격", "result.ac.visaType"),
    ("condition", "text*several", "면허조건", "result.dl.condition"),
    ("code", "text*several", "암호일련번호", "result.dl.code"),
    ("organ_donation", "text*several", "장기기증", "result.dl.organDonation"),
    ("mrz1", "text*several", "기계판독영역 1행", "result.pp.mrz1"),
    ("mrz2", "text*several", "기계판독영역 2행", "result.pp.mrz2"),
)

_PASSPORT: tuple[Specification, ...] = (
    ("document_class_code", "text", "여권 종류", "passportResult.documentClassCode"),
    ("issuing_state_code", "text", "발행국", "passportResult.issuingStateCode"),
    ("first_name", "text", "성명 1", "passportResult.firstName"),
    ("last_name1", "text", "성명 2", "passportResult.lastName1"),
    ("last_name2", "text", "성명 3", "passportResult.lastName2"),
    ("document_number", "text", "여권번호", "passportResult.documentNumber"),
    ("check_digit_for_document_number", "text", "여권번호 검증번호", "passportResult.checkDigitForDocumentNumber"),
    ("nationality", "text", "국적", "passportResult.nationality"),
    ("date_of_birth", "date", "생년월일", "passportResult.dateOfBirth"),
    ("age", "integer", "나이", "passportResult.age"),
    ("check_digit_for_date_of_birth", "text", "생년월일 검증번호", "passportResult.checkDigitForDateOfBirth"),
    ("gender", "text", "성별", "passportResult.gender"),
    ("date_of_expiry", "date", "만료일", "passportResult.dateOfExpiry"),
    ("check_digit_for_date_of_expiry", "text", "만료일 검증번호", "passportResult.checkDigitForDateOfExpiry"),
    ("personal_number", "text", "개인번호", "passportResult.personalNumber"),
    ("check_digit_for_personal_number", "text", "개인번호 검증번호", "passportResult.checkDigitForPersonalNumber"),
    ("final_check_digit", "text", "최종 검증번호", "passportResult.finalCheckDigit"),
    ("mrz_type", "text", "기계판독영역 형식", "passportResult.mrzType"),
    ("mrz_lines", "text", "기계판독영역", "passportResult.mrzLines"),
    ("is_expired", "boolean", "만료 여부", "passportResult.isExpired"),
)

DOCUMENTS: dict[str, tuple[Specification, ...]] = {
    "receipt": _RECEIPT,
    "credit-card": _CREDIT_CARD,
    "name-card": _NAME_CARD,
    "biz-license": _BIZ_LICENSE,
    "id-card": _ID_CARD,
    "passport": _PASSPORT,
}
"""The columns of a document's table behind the common ones, by the vendor's path word."""
