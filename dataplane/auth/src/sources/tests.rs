use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use super::*;
use crate::{Credentials, Verdict, hash_password};

fn secret() -> NodeSecret {
    NodeSecret::new(&[4; 32])
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn steps(yaml: &str) -> Vec<StepConfig> {
    serde_yaml::from_str(yaml).unwrap()
}

fn users(folder: &Path) -> PathBuf {
    write(folder, "users", &format!("alice:{}\n", hash_password(b"secret", &[1; 16]).unwrap()), 0o600)
}

#[test]
fn a_chain_is_built_and_names_its_files() {
    let folder = TempDir::new().unwrap();
    let users = users(folder.path());
    let key = write(folder.path(), "secret", &"x".repeat(40), 0o600);
    let yaml = format!(
        "- certificate: {{identity: dns}}\n- jwt: {{algorithms: [HS256], secret_file: {}}}\n- password: {{file: {}, groups: [people]}}\n",
        key.display(),
        users.display()
    );
    let loaded = load(&steps(&yaml), &secret()).unwrap();
    assert_eq!(loaded.files, [key, users]);
    let shown = Credentials { username: Some("alice"), password: Some(b"secret"), ..Credentials::default() };
    let Verdict::Accept(identity) = loaded.chain.check(&shown, 0) else { panic!() };
    assert_eq!(identity.groups, [Arc::from("people")]);
}

#[test]
fn f2_broken_files_refuse_the_chain_and_say_where() {
    let folder = TempDir::new().unwrap();
    let error = |yaml: String| load(&steps(&yaml), &secret()).unwrap_err().to_string();
    let bad = write(folder.path(), "bad", "# users\nalice:secret\n", 0o600);
    let password = |path: &Path| format!("- password: {{file: {}}}", path.display());
    let message = error(password(&bad));
    assert!(message.starts_with(&format!("{}:2 a field is none of", bad.display())), "{message}");
    assert!(error(password(&folder.path().join("none"))).contains("cannot be read"));
    let open = write(folder.path(), "open", "", 0o644);
    assert!(error(password(&open)).contains("mode 0644"));
    let short = write(folder.path(), "short", "x", 0o600);
    let jwt = |keys: &str, path: &Path| format!("- jwt: {{algorithms: [HS256], {keys}: {}}}", path.display());
    assert!(error(jwt("secret_file", &short)).contains("needs at least 32"));
    assert!(error(jwt("jwks_file", &short)).contains("not a JSON Web Key Set"));
    assert!(error(jwt("public_key_file", &short)).contains("no public key"));
}

#[test]
fn a_step_is_one_of_the_kinds_with_one_source_of_keys() {
    let error = |yaml: &str| load(&steps(yaml), &secret()).unwrap_err().to_string();
    assert!(error("- {}").contains("one of password, jwt, certificate"));
    assert!(error("- {password: {file: a}, certificate: {}}").contains("one of password, jwt, certificate"));
    assert!(error("- jwt: {algorithms: [HS256]}").contains("one source of keys"));
    assert!(error("- jwt: {algorithms: [HS256], secret_file: a, jwks_file: b}").contains("one source of keys"));
    assert!(error("- jwt: {algorithms: [], secret_file: a}").contains("algorithms is empty"));
    assert!(error("- certificate: {groups: ['']}").contains("groups"));
}

#[test]
fn unknown_keys_and_algorithms_are_refused() {
    for yaml in ["- pasword: {}", "- jwt: {algorithms: [none]}", "- password: {file: a, mode: 1}", "- password: {}"] {
        assert!(serde_yaml::from_str::<Vec<StepConfig>>(yaml).is_err(), "{yaml}");
    }
}

#[test]
fn every_example_of_the_manual_is_understood() {
    let manual = include_str!("../../../../docs/authentication.md");
    let blocks: Vec<&str> = manual.split("```").skip(1).step_by(2).collect();
    let yaml = blocks.iter().filter_map(|block| block.strip_prefix("yaml\n"));
    #[derive(serde::Deserialize)]
    struct Node {
        auth: Auth,
    }
    #[derive(serde::Deserialize)]
    struct Auth {
        chain: Vec<StepConfig>,
    }
    let parsed: Vec<Node> = yaml.map(|text| serde_yaml::from_str(text).unwrap()).collect();
    assert!(!parsed.is_empty() && parsed.iter().all(|node| !node.auth.chain.is_empty()));
}
