"""Files of tables: CSV, XLSX and Parquet, each written row by row in bounded memory."""
