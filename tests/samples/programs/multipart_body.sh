# CLOVA OCR Document API specification v1.0.6 (2023-11-23), "Content-Type : multipart/form-data".
# Mended: nothing.

curl --request POST 'your apigw invoke url' \
--header 'X-OCR-SECRET: your secret key' \
--form 'message={"images":[{"format":"png","name":"demo"}],"requestId":"guide-demo","version":"V2","timestamp":1584062336793}' \
--form 'file=@image.png'
