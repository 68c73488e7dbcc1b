USE shop;
CREATE TABLE documents (id INT PRIMARY KEY, doc JSON, hidden INT UNSIGNED INVISIBLE, vec VECTOR(3), total INT AS (id + 1) VIRTUAL,
  KEY tags ((CAST(doc->'$.tags' AS UNSIGNED ARRAY))));
INSERT INTO documents (id, doc, vec) VALUES (1, '{"a": "0123456789", "tags": [1, 2]}', TO_VECTOR('[1,2,3]'));
SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE documents SET doc = JSON_SET(doc, '$.a', 'x'); SET SESSION binlog_row_value_options = '';
SET SESSION binlog_transaction_compression = ON;
START TRANSACTION; INSERT INTO orders (name, note) VALUES ('packed', REPEAT('0123456789', 300)); UPDATE orders SET note = 'again'; COMMIT;
SET SESSION binlog_transaction_compression = OFF;
SET SESSION gtid_next = 'AUTOMATIC:blue_1'; INSERT INTO orders (name) VALUES ('tagged'), ('two'); SET SESSION gtid_next = 'AUTOMATIC';
SET SESSION gtid_next = '3e11fa47-71ca-11e1-9e33-c80aa9429562:77'; INSERT INTO orders (name) VALUES ('of another server'); SET SESSION gtid_next = 'AUTOMATIC';
