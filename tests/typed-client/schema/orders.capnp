@0xf215498f1d282f62;
# Table typed.orders, layout version 1.
# Ordinals are never used again. `<field>IsNull` is true wherever there is no value to read.

annotation column @0xc2e01d44be121848 (field) :Text;  # the column's own name

struct Orders @0xbee8708f2f1e28b9 {
  id @0 :Int32 $column("id");  # int, primary key 1
  idIsNull @1 :Bool = true;
  customerName @2 :Text $column("customer_name");  # text of 240 bytes character set utf8mb4
  total @3 :Text $column("total");  # decimal(10,2)
  quantity @4 :UInt32 $column("quantity");  # int unsigned
  quantityIsNull @5 :Bool = true;
  paidAt @6 :Int64 $column("paid_at");  # datetime(6), microseconds
  paidAtIsNull @7 :Bool = true;
  note @8 :Text $column("note");  # text of 65535 bytes character set utf8mb4
  state @9 :UInt16 $column("state");  # enum('new','paid')
  stateIsNull @10 :Bool = true;
}
