USE v;
CREATE TABLE addresses (id INT PRIMARY KEY, u UUID, i4 INET4);
INSERT INTO addresses VALUES (1, '01234567-89ab-1def-8123-456789abcdef', '1.2.3.4'), (2, '01234567-89ab-7def-8123-456789abcdef', '0.0.0.0'), (3, '00000000-0000-0000-0000-000000000000', '255.255.255.255'),
  (4, '11234567-89ab-4def-8123-456789ab0000', '10.0.0.0'), (5, '11234567-89ab-6def-b123-456789ab0000', '127.0.0.1'), (6, NULL, NULL), (7, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '1.0.0.0');
