//! Settings that are given as text: which there are, and how each finds its place in the file's tables.

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError};

/// What each variable's name begins with.
const ENV_PREFIX: &str = "KINORA_";

/// Keys without a default, which the serialized defaults therefore lack.
const OPTIONAL_KEYS: [&str; 3] = ["public_url", "tls_cert", "tls_key"];

/// Every key that exists, after the tables it is in, and a value of its kind.
pub(super) fn keys() -> Vec<(Vec<String>, Value)> {
    let defaults = Table::try_from(Config::default()).expect("the defaults are plain values");
    let mut keys = keys_of(defaults, &[]);
    let text = Value::String(String::new());
    keys.extend(OPTIONAL_KEYS.map(|key| (vec![key.to_owned()], text.clone())));
    keys
}

fn keys_of(table: Table, path: &[String]) -> Vec<(Vec<String>, Value)> {
    let mut keys = Vec::new();
    for (name, value) in table {
        let path = [path, &[name]].concat();
        match value {
            Value::Table(table) => keys.extend(keys_of(table, &path)),
            value => keys.push((path, value)),
        }
    }
    keys
}

/// The variable that carries a key.
pub(super) fn env_name(path: &[String]) -> String {
    format!("{ENV_PREFIX}{}", path.join("_")).to_ascii_uppercase()
}

/// Puts a setting given as text into its place, as the kind of value that `sample` is.
pub(super) fn set(
    settings: &mut Table,
    path: &[String],
    sample: &Value,
    text: &str,
    origin: String,
) -> Result<(), ConfigError> {
    let value = match sample {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => Some(Value::String(text.to_owned())),
    };
    let Some(value) = value else {
        let message = format!("expected {}, got `{text}`", sample.type_str());
        return Err(ConfigError::Value { origin, message });
    };
    let mut alone = Table::new();
    place(&mut alone, path, value.clone());
    Config::deserialize(alone).map_err(|error| {
        // The lines after the first only repeat the key.
        let mut message = error.to_string().lines().next().unwrap_or_default().to_owned();
        if path == ["listen"] {
            message += "; give an IP address and a port, such as 127.0.0.1:5580";
        }
        ConfigError::Value { origin, message }
    })?;
    place(settings, path, value);
    Ok(())
}

fn place(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [name, path @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            // The file was checked before: a table's name holds a table.
            if let Value::Table(inner) = inner {
                place(inner, path, value);
            }
        }
    }
}
