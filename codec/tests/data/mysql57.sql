CREATE TABLE documents (id INT PRIMARY KEY, doc JSON);
INSERT INTO documents VALUES (1, '{"a": [1, 2.5, "x"]}');
