//! The house rules as tests: which layer may name which, and what must not be left behind.

use std::fs;
use std::path::{Path, PathBuf};

/// Module → the modules of the crate that it may name. `README.md` beside the sources says why.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("metrics", &[]),
    ("config", &[]),
    ("clock", &["types"]),
    ("media", &["types"]),
    ("vision", &["types"]),
    ("wire", &["types"]),
    ("store", &["types", "clock", "metrics"]),
    ("ingest", &["types", "media", "clock", "store", "metrics"]),
    ("serve", &["types", "media", "clock", "store", "metrics"]),
    ("records", &["types", "clock", "store", "metrics"]),
    ("people", &["types", "vision", "clock", "store", "metrics"]),
    ("processors", &["types", "clock", "store", "metrics"]),
    (
        "api",
        &[
            "types",
            "config",
            "media",
            "vision",
            "wire",
            "clock",
            "store",
            "ingest",
            "serve",
            "records",
            "people",
            "processors",
            "metrics",
            "web",
        ],
    ),
    ("web", &[]),
    ("client", &["types", "media", "wire", "clock", "metrics"]),
    ("produce", &["types", "media", "wire", "clock", "client", "metrics"]),
    ("detect", &["types", "media", "vision", "wire", "clock", "client", "metrics"]),
    ("alert", &["types", "wire", "clock", "client", "metrics"]),
    ("files", &["types", "media", "wire", "clock", "client", "produce", "metrics"]),
    (
        "cli",
        &[
            "types",
            "media",
            "wire",
            "clock",
            "store",
            "ingest",
            "serve",
            "records",
            "api",
            "client",
            "produce",
            "files",
            "vision",
            "people",
            "processors",
            "detect",
            "alert",
            "config",
            "metrics",
        ],
    ),
];

/// Files that nobody reads in one sitting start above this.
const LONGEST_FILE: usize = 700;

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(dir).expect("the folder is readable");
    for entry in entries {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The top module that a file of `src/` belongs to.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(source()).expect("a file of src");
    let first = relative.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Modules named as `crate::module` in code, the tests at a file's end included.
fn named_modules(text: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let code = content.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let groups = rest.strip_prefix('{').map(|inner| inner.trim_end_matches("};"));
            let names: Vec<&str> =
                groups.map_or_else(|| vec![rest], |all| all.split(',').collect());
            for name in names {
                let end = name.trim().find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = name.trim();
                named.push((line + 1, name[..end.unwrap_or(name.len())].to_owned()));
            }
        }
    }
    named
}

#[test]
fn each_layer_names_only_the_layers_below_it() {
    let mut broken = Vec::new();
    for path in rust_files(&source()) {
        let module = module_of(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        let allowed = LAYERS.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is missing in LAYERS"));
        let text = fs::read_to_string(&path).expect("source is text");
        for (line, name) in named_modules(&text) {
            let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
            if is_layer && name != module && !allowed.contains(&name.as_str()) {
                broken.push(format!("{}:{line}: {module} names {name}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "imports against the layering:\n{}", broken.join("\n"));
}

#[test]
fn library_crates_stay_in_their_rooms() {
    let rooms: &[(&[&str], &[&str])] = &[
        (&["gst::", "gst_app::", "gst_video::"], &["produce/gstreamer", "detect/gstreamer"]),
        (&["axum::", "hyper::", "http_body"], &["api", "web.rs", "cli", "produce/tests"]),
        (&["redb::"], &["store"]),
        (&["lettre::"], &["alert/mail"]),
        (&["tract_onnx::", "prost::"], &["vision/onnx", "vision/models"]),
        (&["std::env::var"], &["config.rs", "client", "cli", "media/mkv/tests", "store/tests"]),
    ];
    let mut broken = Vec::new();
    for path in rust_files(&source()) {
        let relative = path.strip_prefix(source()).expect("a file of src").to_string_lossy();
        let text = fs::read_to_string(&path).expect("source is text");
        for (crates, rooms) in rooms {
            let at_home = rooms.iter().any(|room| relative.starts_with(room));
            for name in crates.iter().filter(|_| !at_home) {
                if text.lines().any(|line| line.split("//").next().unwrap_or("").contains(name)) {
                    broken.push(format!("{relative} names {name}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "crates outside of their room:\n{}", broken.join("\n"));
}

#[test]
fn nothing_is_left_open_in_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let leftovers = ["TODO", "FIXME", "XXX"].map(str::to_owned);
    let macros = ["todo!(", "unimplemented!(", "dbg!("].map(|name| format!(" {name}"));
    let mut found = Vec::new();
    for path in rust_files(&root.join("src")) {
        let text = fs::read_to_string(&path).expect("source is text");
        for (line, content) in text.lines().enumerate() {
            if leftovers.iter().chain(&macros).any(|word| content.contains(word.as_str())) {
                found.push(format!("{}:{}: {}", path.display(), line + 1, content.trim()));
            }
        }
    }
    assert!(found.is_empty(), "left open:\n{}", found.join("\n"));
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|dir| rust_files(&root.join(dir)))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("source is text").lines().count();
            (lines > LONGEST_FILE).then(|| format!("{} has {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
