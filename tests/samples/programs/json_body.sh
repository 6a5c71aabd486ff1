# CLOVA OCR Document API specification v1.0.6 (2023-11-23), "Content-Type : application/json".
# Mended: nothing.

curl --request POST 'your apigw invoke url' \
--header 'X-OCR-SECRET: your secret key' \
--data-raw '{"images":[{"format":"jpg","name":"demo","data":"your image base64 bytes"}],"requestId":"guide-json-demo","version":"V2","timestamp":1584062336793}'
