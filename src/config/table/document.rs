//! The tables of `docs/settings.md`, made from the table of settings.

use std::fmt::Write as _;

use super::{Kind, SETTINGS, Setting};

/// What the document says of a setting beyond its line of help.
struct Note {
    setting: &'static str,
    /// What holds where the setting is absent and has no fixed default.
    absent: &'static str,
    /// Further sentences, or nothing.
    more: &'static str,
}

/// The settings by heading, as Markdown.
#[must_use]
pub fn document() -> String {
    let mut text = String::new();
    let mut heading = "";
    for setting in SETTINGS {
        if heading != setting.group.heading() {
            heading = setting.group.heading();
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{gap}### {heading}\n\n| setting | default | meaning |\n|---|---|---|\n");
        }
        let _ = writeln!(text, "| `{}` | {} | {} |", setting.name, default(setting), meaning(setting));
    }
    text
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Some(value) => format!("`{value}`"),
        None => note(setting).map_or("none", |note| note.absent).to_owned(),
    }
}

/// The line of help, what kind of value it is, and the note.
fn meaning(setting: &Setting) -> String {
    // The column before this one has the default.
    let help = setting.help.split(" [default: ").next().unwrap_or_default();
    let mut sentences = vec![format!("{help}.")];
    if setting.kind == Kind::List {
        sentences.push("A list.".to_owned());
    }
    if let Some(secret) = setting.secret() {
        sentences.push(format!("Or put the secret in `{}`.", super::variable_of(secret)));
    }
    sentences.extend(note(setting).map(|note| note.more.to_owned()).filter(|more| !more.is_empty()));
    sentences.join(" ")
}

fn note(setting: &Setting) -> Option<&'static Note> {
    NOTES.iter().find(|note| note.setting == setting.name)
}

#[rustfmt::skip]
const NOTES: &[Note] = &[
    more("listen", "`localhost` stands for 127.0.0.1 and [::1]; a unix socket gets mode 0600; port 0 picks a free port. \
        With `exec`, the default is `localhost:0`."),
    more("admin-listen", "With `exec`, the default is `off`."),
    more("admin-token-file", "This user and root need no token."),
    more("allow-origin", "Exact origins, `http://localhost:5173` for example."),
    more("allow-host", "A compose service name, for example."),
    more("bearer-token-file", "Required on a listener that other machines reach."),
    more("allow-other-users", "This includes the other containers of a pod."),
    note_of("upstream", "required", "`http` is for loopback only; `wss` and `ws` mean the same as `https` and `http`."),
    note_of("region", "from the upstream's host", ""),
    note_of("region-set", "none; `*` for hosts that accept SigV4A only", "It takes the place of `region`: see \
        [SigV4A](#sigv4a)."),
    note_of("service", "from the upstream's host, else `execute-api` for a custom domain", ""),
    note_of("payload", "`unsigned` for VPC Lattice over https, else `hashed`", "`unsigned` is for S3 and VPC Lattice over \
        https, which accept `UNSIGNED-PAYLOAD`. Unsigned bodies stream and take no memory for bodies."),
    note_of("websocket-signing", "`query` for `iotdevicegateway`, else `headers`", "See [WebSocket](clients.md#websocket)."),
    note_of("sign-host", "the upstream's host", "For private APIs behind a VPC endpoint."),
    note_of("ca-file", "system roots", ""),
    more("amplify-outputs", "It comes last, before the defaults."),
    more("user-pool-id", "The region comes from the id."),
    more("identity-pool-id", "The region comes from the id."),
    note_of("user-pool-endpoint", "AWS's", "For another machine, set `AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER`; it wins \
        over the file."),
    note_of("identity-pool-endpoint", "AWS's", "For another machine, set `AWS_ENDPOINT_URL_COGNITO_IDENTITY`; it wins over \
        the file."),
    note_of("sts-endpoint", "AWS's", "For another machine, set `AWS_ENDPOINT_URL_STS`; it wins over the file."),
    note_of("username", "the stored session's user", ""),
    more("id-token-file", "It takes the place of a sign-in."),
    note_of("login-provider", "the token's `iss` without its scheme", ""),
    more("classic-flow-role-arn", "Setting it selects the classic flow instead of the enhanced one."),
    more("max-body", "It may exceed `body-memory` where every route leaves bodies unsigned."),
    more("max-in-flight", "An unsigned body counts from its first byte on, a hashed one from its last."),
    more("max-tunnels", "They count among `max-connections` too."),
    more("websocket-idle-timeout", "API Gateway itself closes after 10 minutes."),
    more("connect-timeout", "TLS is included."),
    more("response-timeout", "The wait starts when the system has taken the last byte."),
    more("idle-timeout", "It also limits how long the API may take none of an upload."),
    more("port-base", "The user pool has this port, the identity pool the next, and the API the one after."),
    note_of("user", "`demo`", "Without a password, it is the one that the first screen shows."),
    more("mfa", "With `sms` and `email`, the proxy signs in as an additional user `demo`, who has none."),
    more("callback-url", "The usual ports of dev servers on `localhost` are callback URLs already."),
    more("api-route", "The longest path wins; every other path has `iam`."),
    note_of("seed", "that of `state`, else `countersign`", "The same seed gives the same token key, `sub` and identity ids."),
    more("state", "The folder is made if need be. Its file has the users' passwords in it."),
    more("log-level", "`exec` and `credentials` write warnings only."),
];

const fn more(setting: &'static str, more: &'static str) -> Note {
    note_of(setting, "none", more)
}

const fn note_of(setting: &'static str, absent: &'static str, more: &'static str) -> Note {
    Note { setting, absent, more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::find;

    #[test]
    fn every_note_belongs_to_a_setting() {
        for note in NOTES {
            assert!(find(note.setting).is_some(), "{}", note.setting);
        }
    }

    #[test]
    fn a_row_has_name_default_and_meaning() {
        let text = document();
        assert!(text.starts_with("### Clients\n\n| setting | default | meaning |\n"), "{text}");
        let row = text.lines().find(|line| line.starts_with("| `service` ")).expect("a row");
        assert!(
            row.starts_with(
                "| `service` | from the upstream's host, else `execute-api` for a custom domain | "
            ),
            "{row}"
        );
        assert!(!row.contains("[default"), "{row}");
    }
}
