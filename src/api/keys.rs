//! Access keys and the secret that signs tokens: `DIR/keys.json`, mode 0600.
//!
//! A file of its own, replaced as a whole, rather than a table of the catalog: there are a handful
//! of keys, and `kinora key` must work while the server runs, which holds the catalog's lock. The
//! server notices a replaced file ([`KeyRing::refresh`]), so keys are created and revoked live.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::types::ServerTimestamp;
use crate::wire::sigv4::Credentials;
use crate::wire::token::Secret;

/// The keys' file, inside the data directory.
pub const KEYS_FILE: &str = "keys.json";
/// The first key in the format of the AWS shared-credentials file, inside the data directory.
pub const CREDENTIALS_FILE: &str = "credentials";

/// Held while the file is replaced, since two commands may do so at once.
const LOCK_FILE: &str = "keys.lock";
const FORMAT_VERSION: u32 = 1;
/// The most keys there may be.
const MAX_KEYS: usize = 1000;
/// The name of the key that the first start makes.
const ROOT: &str = "root";
/// Real access keys have 20 characters of this alphabet, `AKIA` first.
const KEY_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Safe in URLs, shells and `curl -u`.
const SECRET_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An access key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `AKIA…`, 20 characters.
    pub access_key: String,
    /// 40 characters, known to the holder and this file.
    pub secret: String,
    /// What the operator calls it.
    pub name: String,
    /// Creation, in milliseconds since the epoch.
    pub created_ms: i64,
    /// From when on it is refused; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// The keys of a server, in memory and on disk.
pub struct KeyRing {
    dir: PathBuf,
    state: RwLock<State>,
}

struct State {
    keys: BTreeMap<String, Arc<Key>>,
    secret: Secret,
    mark: Mark,
}

/// Tells a file from the one that replaced it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    modified: (i64, i64),
    len: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    /// 32 bytes in hex.
    token_secret: String,
    keys: Vec<Key>,
}

/// Why keys cannot be had or changed. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("{path} is damaged: {message}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// No key goes by that name.
    #[error("there is no access key {0}")]
    NotFound(String),
    /// One more would be too many.
    #[error("there are {MAX_KEYS} keys already; revoke some")]
    TooMany,
}

/// Why a key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Never made here, or revoked.
    Unknown,
    /// Its time is over.
    Expired,
}

impl KeyRing {
    /// Opens the keys in `dir`. Where there are none yet, makes the root key, writes it to
    /// [`CREDENTIALS_FILE`] and says so with `true`. Blocks.
    pub fn open(dir: &Path, region: &str, now: ServerTimestamp) -> Result<(Self, bool), KeyError> {
        let lock = lock(dir)?;
        let path = dir.join(KEYS_FILE);
        let first_start = !path.try_exists().map_err(io_error(&path))?;
        if first_start {
            let root = new_key(ROOT, None, now);
            // The credentials first: a crash in between is a first start again, with a new key.
            write_private(dir, CREDENTIALS_FILE, root.shared_credentials(region).as_bytes())?;
            let token_secret = hex::encode(random_bytes::<32>());
            store(dir, &Stored { version: FORMAT_VERSION, token_secret, keys: vec![root] })?;
        }
        drop(lock);
        let state = RwLock::new(State::load(dir)?);
        Ok((Self { dir: dir.to_owned(), state }, first_start))
    }

    /// Reads the keys in `dir`, which a server or `kinora key create` has made before. Blocks.
    pub fn open_existing(dir: &Path) -> Result<Self, KeyError> {
        Ok(Self { dir: dir.to_owned(), state: RwLock::new(State::load(dir)?) })
    }

    /// Takes up what another process changed in the file. Blocks for a `stat`.
    pub fn refresh(&self) -> Result<(), KeyError> {
        let path = self.dir.join(KEYS_FILE);
        let mark = Mark::of(&fs::metadata(&path).map_err(io_error(&path))?);
        if mark != self.read(|state| state.mark) {
            let state = State::load(&self.dir)?;
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        }
        Ok(())
    }

    /// The key of that id, if it is valid now.
    pub fn lookup(&self, access_key: &str, now: ServerTimestamp) -> Result<Arc<Key>, Refused> {
        let key = self.read(|state| state.keys.get(access_key).cloned()).ok_or(Refused::Unknown)?;
        match key.expires_ms {
            Some(expires) if expires <= now.as_millis() => Err(Refused::Expired),
            _ => Ok(key),
        }
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Vec<Arc<Key>> {
        let mut keys: Vec<_> = self.read(|state| state.keys.values().cloned().collect());
        keys.sort_by_key(|key| key.created_ms);
        keys
    }

    /// The secret that signs tokens.
    pub fn token_secret(&self) -> Secret {
        self.read(|state| state.secret.clone())
    }

    /// Makes a key, valid until `expires`. Blocks.
    pub fn create(
        &self,
        name: &str,
        expires: Option<ServerTimestamp>,
        now: ServerTimestamp,
    ) -> Result<Key, KeyError> {
        let key = new_key(name, expires, now);
        self.change(|stored| {
            if stored.keys.len() >= MAX_KEYS {
                return Err(KeyError::TooMany);
            }
            stored.keys.push(key.clone());
            Ok(())
        })?;
        Ok(key)
    }

    /// Revokes a key and with it every token it issued. Blocks.
    pub fn revoke(&self, access_key: &str) -> Result<(), KeyError> {
        self.change(|stored| {
            let before = stored.keys.len();
            stored.keys.retain(|key| key.access_key != access_key);
            if stored.keys.len() == before {
                return Err(KeyError::NotFound(access_key.to_owned()));
            }
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Stored) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let _lock = lock(&self.dir)?;
        let (mut stored, _) = load(&self.dir)?;
        change(&mut stored)?;
        store(&self.dir, &stored)?;
        let state = State::load(&self.dir)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // The state is replaced as a whole, so a poisoned lock guards no half-made one.
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Key {
    /// What a client signs with.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            access_key: self.access_key.clone(),
            secret: self.secret.clone(),
            session_token: None,
        }
    }

    /// The key as a `credentials` file for AWS command lines and SDKs.
    pub fn shared_credentials(&self, region: &str) -> String {
        format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {region}\n",
            self.access_key, self.secret
        )
    }
}

/// Secrets never reach a log.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl State {
    fn load(dir: &Path) -> Result<Self, KeyError> {
        let (stored, mark) = load(dir)?;
        let damaged = |message: &str| KeyError::Damaged {
            path: dir.join(KEYS_FILE),
            message: message.to_owned(),
        };
        if stored.version != FORMAT_VERSION {
            return Err(damaged("its version is not 1"));
        }
        let mut secret = [0; 32];
        hex::decode_to_slice(&stored.token_secret, &mut secret)
            .map_err(|_| damaged("token_secret is not 64 hexadecimal digits"))?;
        let keys = stored.keys.into_iter().map(|key| (key.access_key.clone(), Arc::new(key)));
        Ok(Self { keys: keys.collect(), secret: Secret::new(secret), mark })
    }
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            len: metadata.len(),
        }
    }
}

fn new_key(name: &str, expires: Option<ServerTimestamp>, now: ServerTimestamp) -> Key {
    Key {
        access_key: format!("AKIA{}", random_text::<16>(KEY_ALPHABET)),
        secret: random_text::<40>(SECRET_ALPHABET),
        name: name.to_owned(),
        created_ms: now.as_millis(),
        expires_ms: expires.map(ServerTimestamp::as_millis),
    }
}

fn random_text<const N: usize>(alphabet: &[u8]) -> String {
    let pick = |byte: &u8| char::from(alphabet[usize::from(*byte) % alphabet.len()]);
    random_bytes::<N>().iter().map(pick).collect()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes
}

fn lock(dir: &Path) -> Result<File, KeyError> {
    let path = dir.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(io_error(&path))?;
    file.lock().map_err(io_error(&path))?;
    Ok(file)
}

fn load(dir: &Path) -> Result<(Stored, Mark), KeyError> {
    let path = dir.join(KEYS_FILE);
    let file = File::open(&path).map_err(io_error(&path))?;
    let mark = Mark::of(&file.metadata().map_err(io_error(&path))?);
    let text = io::read_to_string(file).map_err(io_error(&path))?;
    let stored = serde_json::from_str(&text)
        .map_err(|error| KeyError::Damaged { path, message: error.to_string() })?;
    Ok((stored, mark))
}

fn store(dir: &Path, stored: &Stored) -> Result<(), KeyError> {
    let text = serde_json::to_string_pretty(stored).expect("keys are plain text and numbers");
    write_private(dir, KEYS_FILE, text.as_bytes())
}

/// Replaces a file as a whole, durably; only its owner may read it.
fn write_private(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
    let path = dir.join(name);
    let new = dir.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&new); // Left by a crash, perhaps with another mode.
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(io_error(&path))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(ms: i64) -> ServerTimestamp {
        ServerTimestamp::from_millis(ms)
    }

    #[test]
    fn first_start_makes_a_root_key_that_only_the_owner_can_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (ring, first) = KeyRing::open(dir.path(), "eu-west-1", at(5)).expect("opens");
        assert!(first);
        let root = ring.list().remove(0);
        let text = fs::read_to_string(dir.path().join(CREDENTIALS_FILE)).expect("written");
        assert!(text.starts_with("[default]\n"), "{text}");
        assert!(text.contains(&root.access_key) && text.contains(&root.secret), "{text}");
        for file in [CREDENTIALS_FILE, KEYS_FILE] {
            let mode = fs::metadata(dir.path().join(file)).expect("exists").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!((root.access_key.len(), root.secret.len()), (20, 40));

        let (again, first) = KeyRing::open(dir.path(), "eu-west-1", at(6)).expect("opens");
        assert!(!first);
        assert_eq!(again.list(), ring.list());
        assert_eq!(again.token_secret(), ring.token_secret());
    }

    #[test]
    fn keys_made_and_revoked_by_another_process_are_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (server, _) = KeyRing::open(dir.path(), "us-east-1", at(5)).expect("opens");
        let command = KeyRing::open_existing(dir.path()).expect("opens");
        let key = command.create("camera", Some(at(100)), at(6)).expect("made");
        assert_eq!(server.lookup(&key.access_key, at(7)), Err(Refused::Unknown));
        server.refresh().expect("reads");
        assert_eq!(server.lookup(&key.access_key, at(99)).as_deref(), Ok(&key));
        assert_eq!(server.lookup(&key.access_key, at(100)), Err(Refused::Expired));
        command.revoke(&key.access_key).expect("revoked");
        server.refresh().expect("reads");
        assert_eq!(server.lookup(&key.access_key, at(7)), Err(Refused::Unknown));
        assert!(matches!(command.revoke(&key.access_key), Err(KeyError::NotFound(_))));
    }

    #[test]
    fn damaged_file_is_reported_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(KEYS_FILE), "{\"version\":1").expect("written");
        let error = KeyRing::open(dir.path(), "us-east-1", at(5)).err().expect("refused");
        assert!(error.to_string().contains("keys.json is damaged"), "{error}");
    }
}
