"""Domains to call: their URLs and secrets, and where those are configured."""

from clova_ocr_async.domains.domain import Domain, Secret
from clova_ocr_async.domains.environment import domains_from_env
from clova_ocr_async.domains.file import domains_from_file
from clova_ocr_async.domains.pool import DomainPool

__all__ = ["Domain", "DomainPool", "Secret", "domains_from_env", "domains_from_file"]
