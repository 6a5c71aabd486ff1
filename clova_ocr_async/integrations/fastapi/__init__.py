"""FastAPI: one client for the whole app, routes that read uploads, and errors as problem documents.

    app = FastAPI(lifespan=client_lifespan(lambda: ClovaOCRClient.from_env(deadline=60)))
    install_error_handlers(app)
    app.include_router(ocr_router(documents=[Receipt], dependencies=[Depends(authenticate)]), prefix="/ocr")

Each upload is a call that costs money, so the routes belong behind an authentication dependency.
"""

try:
    import fastapi as _fastapi
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{__name__} needs {error.name}: pip install 'clova-ocr-async[fastapi]'", name=error.name
    ) from None

from clova_ocr_async.integrations.fastapi.lifespan import client_lifespan, get_client
from clova_ocr_async.integrations.fastapi.problems import install_error_handlers
from clova_ocr_async.integrations.fastapi.router import ocr_router

__all__ = ["client_lifespan", "get_client", "install_error_handlers", "ocr_router"]

del _fastapi
