-- DATE, TIME, DATETIME, TIMESTAMP and YEAR; values that are no dates; fractions of every kind; zones.
-- Known answers: temporal.expected.jsonl
DROP DATABASE IF EXISTS ms_temporal;
CREATE DATABASE ms_temporal DEFAULT CHARACTER SET utf8mb4;
USE ms_temporal;
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '';

-- rows 5 to 8: without strict mode, zero and partial dates are stored, impossible ones become zero
CREATE TABLE calendar (
  id INT NOT NULL PRIMARY KEY,
  day DATE,
  moment DATETIME,
  stamp TIMESTAMP NULL,
  vintage YEAR
);
INSERT INTO calendar VALUES (1, '1000-01-01', '1000-01-01 00:00:00', '1970-01-01 00:00:01', 1901);
INSERT INTO calendar VALUES (2, '9999-12-31', '9999-12-31 23:59:59', '2038-01-19 03:14:07', 2155);
INSERT INTO calendar VALUES (3, '1969-07-20', '1969-07-20 20:17:40', '2000-02-29 12:00:00', 1969);
INSERT INTO calendar VALUES (4, NULL, NULL, NULL, NULL);
INSERT INTO calendar VALUES (5, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0);
INSERT INTO calendar VALUES (6, '2023-00-00', '2023-00-00 01:02:03', 20240131235958, 99);
INSERT INTO calendar VALUES (7, '2023-06-00', '2023-06-00 23:59:59', '2024-2-3 4:5:6', 70);
INSERT INTO calendar VALUES (8, 'not a date', '2023-13-01 00:00:00', '2023-02-29 00:00:00', '2100');

-- days that no calendar has are kept as they were written
SET sql_mode = 'ALLOW_INVALID_DATES';
CREATE TABLE impossible_days (
  id INT NOT NULL PRIMARY KEY,
  day DATE,
  moment DATETIME(3)
);
INSERT INTO impossible_days VALUES (1, '2023-02-31', '2023-02-31 10:20:30.405');
INSERT INTO impossible_days VALUES (2, '2021-11-31', '1900-02-29 00:00:00.001');
SET sql_mode = '';

-- negative fractions borrow from the second: -00:00:00.1 is stored as second -1 plus nine tenths
CREATE TABLE durations (
  id INT NOT NULL PRIMARY KEY,
  t0 TIME,
  t1 TIME(1),
  t2 TIME(2),
  t3 TIME(3),
  t4 TIME(4),
  t5 TIME(5),
  t6 TIME(6)
);
INSERT INTO durations VALUES (1, '01:02:03', '01:02:03.4', '01:02:03.45', '01:02:03.456', '01:02:03.4567', '01:02:03.45678', '01:02:03.456789');
INSERT INTO durations VALUES (2, '-01:02:03', '-01:02:03.4', '-01:02:03.45', '-01:02:03.456', '-01:02:03.4567', '-01:02:03.45678', '-01:02:03.456789');
INSERT INTO durations VALUES (3, '838:59:59', '838:59:58.9', '838:59:58.99', '838:59:58.999', '838:59:58.9999', '838:59:58.99999', '838:59:58.999999');
INSERT INTO durations VALUES (4, '-838:59:59', '-838:59:58.9', '-838:59:58.99', '-838:59:58.999', '-838:59:58.9999', '-838:59:58.99999', '-838:59:58.999999');
INSERT INTO durations VALUES (5, '-0:0:1', '-00:00:00.1', '-00:00:00.01', '-00:00:00.001', '-00:00:00.0001', '-00:00:00.00001', '-00:00:00.000001');
INSERT INTO durations VALUES (6, '4 5:06', '1:1', '11', '1112', 1112.5, '0', '24:00:00');
INSERT INTO durations VALUES (7, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE instants (
  id INT NOT NULL PRIMARY KEY,
  d1 DATETIME(1),
  d2 DATETIME(2),
  d4 DATETIME(4),
  d6 DATETIME(6),
  s1 TIMESTAMP(1) NULL,
  s3 TIMESTAMP(3) NULL,
  s5 TIMESTAMP(5) NULL,
  s6 TIMESTAMP(6) NULL
);
INSERT INTO instants VALUES (1, '1970-01-01 00:00:00.5', '1970-01-01 00:00:00.05', '1970-01-01 00:00:00.0005', '1970-01-01 00:00:00.000005', '1970-01-01 00:00:01.5', '1970-01-01 00:00:01.005', '1970-01-01 00:00:01.00005', '1970-01-01 00:00:01.000005');
INSERT INTO instants VALUES (2, '9999-12-31 23:59:59.9', '9999-12-31 23:59:59.99', '9999-12-31 23:59:59.9999', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.0', '2038-01-19 03:14:07.000', '2038-01-19 03:14:07.00000', '2038-01-19 03:14:07.000000');
INSERT INTO instants VALUES (3, '0000-00-00 00:00:00.0', '0000-00-00 00:00:00.00', '0000-00-00 00:00:00.0000', '0000-00-00 00:00:00.000000', '0000-00-00 00:00:00.0', '0000-00-00 00:00:00.000', '0000-00-00 00:00:00.00000', '0000-00-00 00:00:00.000000');
INSERT INTO instants VALUES (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- TIMESTAMP is kept in UTC, DATETIME as it was written
SET time_zone = '+05:30';
CREATE TABLE zoned (
  id INT NOT NULL PRIMARY KEY,
  stamp TIMESTAMP(2) NULL,
  moment DATETIME(2)
);
INSERT INTO zoned VALUES (1, '2024-03-10 07:30:00.25', '2024-03-10 07:30:00.25');
INSERT INTO zoned VALUES (2, '2024-01-01 05:29:59.99', '2024-01-01 05:29:59.99');
SET time_zone = '+00:00';

SET timestamp = 1234567890;
CREATE TABLE stamped (
  id INT NOT NULL PRIMARY KEY,
  created TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  changed DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
);
INSERT INTO stamped VALUES (1, DEFAULT, DEFAULT);
SET timestamp = DEFAULT;

-- the packed decimal forms of MySQL 5.5 and before
-- @if mariadb
SET @kept = @@GLOBAL.mysql56_temporal_format;
SET GLOBAL mysql56_temporal_format = OFF;
CREATE TABLE old_format (
  id INT NOT NULL PRIMARY KEY,
  t TIME,
  moment DATETIME,
  stamp TIMESTAMP NULL
);
INSERT INTO old_format VALUES (1, '-123:45:06', '2024-12-25 18:30:15', '2024-12-25 18:30:15');
INSERT INTO old_format VALUES (2, '00:00:07', '0000-00-00 00:00:00', '1999-12-31 23:59:59');
INSERT INTO old_format VALUES (3, NULL, NULL, NULL);
SET GLOBAL mysql56_temporal_format = @kept;
-- @endif
