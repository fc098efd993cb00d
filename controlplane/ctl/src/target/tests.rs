//! Flag, then environment, then context.

use std::collections::BTreeMap;

use super::*;

fn contexts() -> Contexts {
    let mut contexts = Contexts::default();
    for (name, server) in [("other", "https://other"), ("prod", "https://c1:7080,https://c2:7080/")] {
        let context = Context {
            server: server.into(),
            token: Some(format!("slc_{name}_x")),
            ca: Some(format!("/ca/{name}").into()),
            ..Context::default()
        };
        contexts.add(name, context);
    }
    contexts
}

fn resolved(flags: Connection, environment: &[(&str, &str)], contexts: &Contexts) -> Result<Target, Failure> {
    let environment: BTreeMap<_, _> = environment.iter().copied().collect();
    let read = |path: &Path| match path.to_str() {
        Some("token") => Ok("slc_file_x\n".into()),
        _ => Err(Failure::new(Exit::Config, "no such file")),
    };
    resolve(&flags, &|name| environment.get(name).map(|value| (*value).to_owned()), contexts, &read)
}

fn words(target: Result<Target, Failure>) -> String {
    let target = target.unwrap();
    let ca = target.ca.map(|path| path.display().to_string()).unwrap_or_default();
    format!("{} {} {ca}", target.servers.join(","), target.token.unwrap_or_default())
}

fn flags(server: Option<&str>, token: Option<&str>, context: Option<&str>) -> Connection {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Connection { server: owned(server), token: owned(token), context: owned(context), ..Connection::default() }
}

#[test]
fn without_anything_control_of_this_machine_is_asked() {
    let nothing = Contexts::default();
    assert_eq!(words(resolved(Connection::default(), &[], &nothing)), "http://127.0.0.1:7080  ");
    let empty = [("SLUICE_SERVER", ""), ("SLUICE_TOKEN", "")];
    assert_eq!(words(resolved(Connection::default(), &empty, &nothing)), "http://127.0.0.1:7080  ");
}

#[test]
fn a_flag_comes_before_the_environment_and_that_before_the_context() {
    let prod = "https://c1:7080,https://c2:7080 slc_prod_x /ca/prod";
    assert_eq!(words(resolved(Connection::default(), &[], &contexts())), prod);
    let environment = [("SLUICE_TOKEN", "slc_env_x"), ("SLUICE_CA", "/ca/env")];
    let of = |flags| words(resolved(flags, &environment, &contexts()));
    assert_eq!(of(Connection::default()), "https://c1:7080,https://c2:7080 slc_env_x /ca/env");
    assert_eq!(of(flags(None, Some("slc_flag_x"), None)), "https://c1:7080,https://c2:7080 slc_flag_x /ca/env");
    assert_eq!(of(flags(None, None, Some("other"))), "https://other slc_other_x /ca/other");
    let named = [("SLUICE_CONTEXT", "other"), ("SLUICE_TOKEN_FILE", "token")];
    assert_eq!(words(resolved(Connection::default(), &named, &contexts())), "https://other slc_file_x /ca/other");
}

#[test]
fn the_token_of_a_context_goes_to_no_other_server() {
    assert_eq!(words(resolved(flags(Some("http://x:1"), None, None), &[], &contexts())), "http://x:1  ");
    let environment = [("SLUICE_SERVER", "http://y:1"), ("SLUICE_TOKEN", "slc_env_x")];
    assert_eq!(words(resolved(Connection::default(), &environment, &contexts())), "http://y:1 slc_env_x ");
    let both = flags(Some("http://x:1"), None, Some("prod"));
    assert_eq!(words(resolved(both, &[], &contexts())), "http://x:1 slc_prod_x /ca/prod", "unless both are named");
}

#[test]
fn what_cannot_be_is_refused_with_the_code_of_its_kind() {
    for server in ["c1:7080", "ftp://c1", "http://", "http://c1/api", "http://u@c1", "http://a,b"] {
        let failure = resolved(flags(Some(server), None, None), &[], &contexts()).err().unwrap();
        assert_eq!(failure.exit, Exit::Usage, "{server}");
    }
    let exit = |flags, environment: &[(&str, &str)]| resolved(flags, environment, &contexts()).err().unwrap().exit;
    assert_eq!(exit(flags(None, None, Some("none")), &[]), Exit::Config);
    assert_eq!(exit(flags(None, Some("two words"), None), &[]), Exit::Config);
    assert_eq!(exit(Connection::default(), &[("SLUICE_TOKEN_FILE", "away")]), Exit::Config);
}

#[test]
fn a_token_that_would_go_over_a_network_in_the_open_is_noticed() {
    let of = |server: &str, token| resolved(flags(Some(server), token, None), &[], &contexts()).unwrap().is_exposed();
    assert!(of("http://control:7080", Some("slc_a_b")) && of("https://a,http://b", Some("slc_a_b")));
    assert!(
        of("http://127.0.0.1.example.com", Some("slc_a_b")) && of("http://localhost.example.com:1", Some("slc_a_b"))
    );
    assert!(!of("http://control:7080", None) && !of("https://control:7080", Some("slc_a_b")));
    assert!(
        ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"].iter().all(|local| !of(local, Some("slc_a_b")))
    );
}
