"""A task for Taskiq (extra ``taskiq``): images come in messages of their paths, and workers recognize them.

A message is delivered at least once, and a call is made at most once per attempt: the ledger decides whether a picture
is sent, and not the queue. So a message may be delivered as often as the broker likes.
"""

try:
    from clova_ocr_async.integrations.taskiq.task import recognize_task
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{__name__} needs {error.name}: pip install 'clova-ocr-async[taskiq]'", name=error.name
    ) from None

__all__ = ["recognize_task"]
