//! Prints every row of a destination: `cargo run -p millstream-client --example follow -- 127.0.0.1:7440 main 'shop.*'`.

use millstream_client::{Change, ClientConfig, ClientError, blocking::Client};

fn main() -> Result<(), ClientError> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:7440".to_owned());
    let destination = arguments.next().unwrap_or_else(|| "main".to_owned());
    let pattern = arguments.next().unwrap_or_else(|| "*.*".to_owned());

    let client = Client::connect(ClientConfig::new([server], destination).include(pattern))?;
    for transaction in client {
        let transaction = transaction?;
        for change in transaction.changes() {
            match change? {
                Change::Rows(rows) => {
                    for row in rows.iter() {
                        let image = row.after.or(row.before).into_iter().flat_map(|image| image.values());
                        let values: Vec<String> = image
                            .map(|(column, value)| Ok(format!("{}={:?}", column.name, value?)))
                            .collect::<Result<_, millstream_client::wire::read::ReadError>>()
                            .map_err(|error| ClientError::Unreadable {
                                table: rows.table().into(),
                                reason: error.to_string(),
                            })?;
                        println!("{:?} {}.{} {}", row.op, rows.database(), rows.table(), values.join(" "));
                    }
                }
                Change::Ddl(ddl) => println!("{ddl:?}"),
            }
        }
    }
    Ok(())
}
