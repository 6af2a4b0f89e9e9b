//! Small documents of the layers above, in the catalog's database: what a processor is set to, what a
//! rule says. Each change is one durable transaction; reads are from memory.
//!
//! Here: bytes by kind and key, and their bounds. Not here: what they mean. A kind belongs to one
//! module, which names it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::super::locked;

/// A kind and a key, and the document.
const DOCUMENTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("documents");
/// The longest key, in bytes.
pub const MAX_DOCUMENT_KEY_BYTES: usize = 512;
/// The largest document.
pub const MAX_DOCUMENT_BYTES: usize = 256 << 10;
/// The most documents of a kind.
pub const MAX_DOCUMENTS_OF_A_KIND: usize = 10_000;
/// What all documents of all kinds may take: they lie in memory.
pub const MAX_DOCUMENTS_BYTES: usize = 64 << 20;

/// All documents, by kind and key.
pub(in crate::store) type AllDocuments = BTreeMap<String, BTreeMap<String, Bytes>>;

/// Why a document was not written; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A key is empty or longer than [`MAX_DOCUMENT_KEY_BYTES`].
    #[error("a key has 1 to {MAX_DOCUMENT_KEY_BYTES} bytes, not {0}")]
    Key(usize),
    /// A document is larger than [`MAX_DOCUMENT_BYTES`].
    #[error("a document has at most {MAX_DOCUMENT_BYTES} bytes, not {0}")]
    TooLarge(usize),
    /// There are [`MAX_DOCUMENTS_OF_A_KIND`] of its kind, or all take [`MAX_DOCUMENTS_BYTES`].
    #[error("there is no room for more documents of this kind ({0})")]
    Full(String),
    /// The database failed.
    #[error("the catalog could not be changed: {0}")]
    Database(String),
}

/// What a change makes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is; nothing is written.
    Keep,
    /// It becomes this.
    Put(Vec<u8>),
    /// It goes.
    Delete,
}

/// The documents of a store. All methods may be called from any thread.
pub struct Documents {
    database: Arc<redb::Database>,
    /// Held during a change, so that changes follow each other; reads do not wait for their sync.
    changing: Mutex<()>,
    memory: RwLock<Memory>,
}

#[derive(Default)]
struct Memory {
    all: AllDocuments,
    bytes: usize,
}

impl Documents {
    /// A document.
    pub fn get(&self, kind: &str, key: &str) -> Option<Bytes> {
        self.read(|memory| memory.get(kind, key).cloned())
    }

    /// All documents of a kind, by key.
    pub fn list(&self, kind: &str) -> Vec<(String, Bytes)> {
        self.read(|memory| {
            let of_kind = memory.all.get(kind).into_iter().flatten();
            of_kind.map(|(key, document)| (key.clone(), document.clone())).collect()
        })
    }

    /// Writes a document in place of what was there. Blocks for one sync.
    pub fn put(&self, kind: &str, key: &str, document: Vec<u8>) -> Result<(), DocumentError> {
        self.update(kind, key, |_| Ok((Change::Put(document), ())))
    }

    /// Deletes a document; tells whether there was one. Blocks for one sync.
    pub fn delete(&self, kind: &str, key: &str) -> Result<bool, DocumentError> {
        self.update(kind, key, |now| Ok((Change::Delete, now.is_some())))
    }

    /// Changes a document in one transaction: nobody else changes any meanwhile. `change` sees what
    /// is there, and may refuse with its own error. Blocks for one sync, unless it keeps it.
    pub fn update<T, E: From<DocumentError>>(
        &self,
        kind: &str,
        key: &str,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Change, T), E>,
    ) -> Result<T, E> {
        let _changing = locked(&self.changing);
        let now = self.get(kind, key);
        let (change, answer) = change(now.as_deref())?;
        match change {
            Change::Keep => {}
            Change::Put(document) => self.store(kind, key, document.into())?,
            Change::Delete if now.is_some() => self.remove(kind, key)?,
            Change::Delete => {}
        }
        Ok(answer)
    }

    /// The documents of a database that has `known`.
    pub(in crate::store) fn new(database: Arc<redb::Database>, known: AllDocuments) -> Self {
        let bytes = known.values().flatten().map(|(key, document)| size(key, document)).sum();
        let memory = RwLock::new(Memory { all: known, bytes });
        Self { database, changing: Mutex::default(), memory }
    }

    fn store(&self, kind: &str, key: &str, document: Bytes) -> Result<(), DocumentError> {
        self.read(|memory| memory.fits(kind, key, &document))?;
        let write = || -> Result<(), redb::Error> {
            let change = self.database.begin_write()?;
            change.open_table(DOCUMENTS)?.insert((kind, key), &*document)?;
            Ok(change.commit()?)
        };
        write().map_err(failed)?;
        self.publish(|memory| memory.insert(kind, key, document));
        Ok(())
    }

    fn remove(&self, kind: &str, key: &str) -> Result<(), DocumentError> {
        let write = || -> Result<(), redb::Error> {
            let change = self.database.begin_write()?;
            change.open_table(DOCUMENTS)?.remove((kind, key))?;
            Ok(change.commit()?)
        };
        write().map_err(failed)?;
        self.publish(|memory| memory.remove(kind, key));
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Memory {
    fn get(&self, kind: &str, key: &str) -> Option<&Bytes> {
        self.all.get(kind)?.get(key)
    }

    /// Whether a document may be written.
    fn fits(&self, kind: &str, key: &str, document: &Bytes) -> Result<(), DocumentError> {
        if !(1..=MAX_DOCUMENT_KEY_BYTES).contains(&key.len()) {
            return Err(DocumentError::Key(key.len()));
        }
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge(document.len()));
        }
        let had = self.get(kind, key);
        let count = self.all.get(kind).map_or(0, BTreeMap::len) + usize::from(had.is_none());
        let bytes = self.bytes + size(key, document) - had.map_or(0, |had| size(key, had));
        if count > MAX_DOCUMENTS_OF_A_KIND || bytes > MAX_DOCUMENTS_BYTES {
            return Err(DocumentError::Full(kind.to_owned()));
        }
        Ok(())
    }

    fn insert(&mut self, kind: &str, key: &str, document: Bytes) {
        self.remove(kind, key);
        self.bytes += size(key, &document);
        self.all.entry(kind.to_owned()).or_default().insert(key.to_owned(), document);
    }

    fn remove(&mut self, kind: &str, key: &str) {
        let had = self.all.get_mut(kind).and_then(|of_kind| of_kind.remove(key));
        self.bytes -= had.map_or(0, |had| size(key, &had));
    }
}

/// What a document takes.
fn size(key: &str, document: &Bytes) -> usize {
    key.len() + document.len()
}

fn failed(error: redb::Error) -> DocumentError {
    DocumentError::Database(error.to_string())
}

/// All documents in a database, which may be a new one.
pub(super) fn load(database: &redb::Database) -> Result<AllDocuments, redb::Error> {
    // Also makes the table of a new database.
    let change = database.begin_write()?;
    change.open_table(DOCUMENTS)?;
    change.commit()?;
    read_all(&database.begin_read()?)
}

/// The documents that a database has, which may be from before there were any.
pub(in crate::store) fn read_all(tables: &ReadTransaction) -> Result<AllDocuments, redb::Error> {
    let table = match tables.open_table(DOCUMENTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(AllDocuments::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = AllDocuments::new();
    for row in table.iter()? {
        let (at, document) = row?;
        let (kind, key) = at.value();
        let document = Bytes::copy_from_slice(document.value());
        all.entry(kind.to_owned()).or_default().insert(key.to_owned(), document);
    }
    Ok(all)
}

/// Writes documents into a new catalog.
pub(in crate::store) fn write_all(
    change: &WriteTransaction,
    documents: &AllDocuments,
) -> Result<(), redb::Error> {
    let mut table = change.open_table(DOCUMENTS)?;
    for (kind, of_kind) in documents {
        for (key, document) in of_kind {
            table.insert((kind.as_str(), key.as_str()), &**document)?;
        }
    }
    Ok(())
}
