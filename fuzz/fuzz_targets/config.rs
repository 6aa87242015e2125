//! A configuration file is accepted, or every mistake in it is reported with its position.
#![no_main]

use std::{cell::OnceCell, fs};

use countersign::config::{Arguments, Config, Environment};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|text: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| TempDir::new().expect("a folder")).path();
        fs::write(folder.join("countersign.toml"), text).expect("a file");
        let environment = Environment::new([("HOME", folder)], folder);
        match Config::for_serve(&Arguments::default(), &environment) {
            Ok(config) => assert!(!config.proxy.routes.is_empty()),
            Err(error) => {
                let told = error.to_string();
                assert!(!told.is_empty() && told.lines().all(|line| !line.trim().is_empty()), "{told}");
            }
        }
    });
});
