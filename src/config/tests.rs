use super::*;

fn merge(text: &str, env: &[(&str, &str)], flags: &[Flag]) -> Result<Config, String> {
    let lookup =
        |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::merge(Path::new(DEFAULT_FILE), text, &lookup, flags).map_err(|e| e.to_string())
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(merge("", &[], &[]), Ok(Config::default()));
}

#[test]
fn flags_go_before_variables_and_variables_before_the_file() {
    let file = "region = 'file'\naccount = '111111111111'\nlisten = '127.0.0.1:1'\n\
                [http]\nmax_connections = 7\nmax_json_bytes = 2048\n\
                [alerts.smtp]\nhost = 'file'\nencryption = 'tls'";
    let env = [
        ("KINORA_REGION", "env"),
        ("KINORA_LISTEN", "127.0.0.1:2"),
        ("KINORA_HTTP_MAX_CONNECTIONS", "8"),
        ("KINORA_PUT_MEDIA_ENFORCE_RATES", "true"),
        ("KINORA_ALERTS_SMTP_HOST", "mail.example.org"),
        ("KINORA_ALERTS_SMTP_FROM", "kinora@example.org"),
        ("KINORA_PUBLIC_URL", "https://video.example.org/"),
        ("KINORA_PORT", "tcp://…"),
    ];
    let flags = [("listen", "127.0.0.1:3".to_owned())];
    let config = merge(file, &env, &flags).expect("valid settings");
    assert_eq!(config.account, "111111111111");
    assert_eq!(config.region, "env");
    assert_eq!(config.listen.port(), 3);
    assert_eq!((config.http.max_connections, config.http.max_json_bytes), (8, 2048));
    assert!(config.put_media.enforce_rates);
    assert_eq!(
        (&config.alerts.smtp.host[..], config.alerts.smtp.port()),
        ("mail.example.org", 465)
    );
    assert_eq!(config.public_url.as_deref(), Some("https://video.example.org"));
}

#[test]
fn password_is_in_no_log() {
    let file = "[alerts.smtp]\nhost = 'h'\nfrom = 'a@b'\nuser = 'u'\npassword = 'hush'";
    let config = merge(file, &[], &[]).expect("valid settings");
    assert_eq!(config.alerts.smtp.password, "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        merge("lisen = '127.0.0.1:1'", &[], &[]),
        merge("[http]\nmax_conections = 1", &[], &[]),
        merge("[http]\nmax_connections = 'many'", &[], &[]),
        merge("", &[("KINORA_HTTP_MAX_CONNECTIONS", "many")], &[]),
        merge("", &[("KINORA_LISTEN", "nowhere")], &[]),
        merge("", &[], &[("auth", "perhaps".to_owned())]),
        merge("", &[("KINORA_AUTH", "off")], &[("listen", "0.0.0.0:1".to_owned())]),
        merge("tls_cert = 'x'", &[], &[]),
        merge("public_url = 'https://x/y'", &[], &[]),
        merge("account = '1'", &[], &[]),
        merge("[store]\nsegment_bytes = 1", &[], &[]),
        merge("[store]\nquota_bytes = 67108864", &[], &[]),
        merge("[records]\nshard_limits = 'some'", &[], &[]),
        merge("[records]\nread_wait_ms = 60000", &[], &[]),
        merge("[alerts.smtp]\nhost = 'h'", &[], &[]),
        merge("[alerts.smtp]\nhost = 'h'\nfrom = 'a@b'\nuser = 'u'", &[], &[]),
        merge(
            "[alerts.smtp]\nhost = 'h'\nfrom = 'a@b'\nuser = 'u'\npassword = 'p'",
            &[("KINORA_ALERTS_SMTP_ENCRYPTION", "none")],
            &[],
        ),
        merge("", &[("KINORA_ALERTS_SMTP_PORT", "mail")], &[]),
    ];
    let expected = [
        "kinora.toml: TOML parse error at line 1, column 1",
        "kinora.toml: TOML parse error at line 2, column 1",
        "kinora.toml: TOML parse error at line 2, column 19",
        "KINORA_HTTP_MAX_CONNECTIONS: expected integer, got `many`",
        "KINORA_LISTEN: invalid socket address syntax; give an IP address and a port, such as",
        "--auth: unknown variant `perhaps`",
        "auth can be off only on a loopback address",
        "tls_cert and tls_key must be given together",
        "public_url must be http:// or https://",
        "account must have twelve digits",
        "store.segment_bytes must be from 1 MiB to 4 GiB",
        "store.quota_bytes must be 0 or at least 6 times store.segment_bytes",
        "kinora.toml: TOML parse error at line 2, column 16",
        "records.read_wait_ms must be up to 20000",
        "alerts.smtp.host and alerts.smtp.from must be given together",
        "alerts.smtp.user and alerts.smtp.password must be given together",
        "alerts.smtp.encryption can be none with a login only on a loopback address",
        "KINORA_ALERTS_SMTP_PORT: expected integer, got `mail`",
    ];
    for (case, expected) in cases.into_iter().zip(expected) {
        let message = case.expect_err(expected);
        assert!(message.starts_with(expected), "{message}\nexpected: {expected}");
    }
}
