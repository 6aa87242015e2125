//! The examples at the end of the long help of each command.

/// The examples of `command`: what is typed, and what that is for.
pub(super) fn of(command: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match command {
        "serve" => &[
            ("countersign serve --config countersign.toml", "with the settings of a file"),
            (
                "countersign serve --listen localhost:9000 --admin-listen off",
                "on another port, without probes",
            ),
            ("countersign serve --allow-origin http://localhost:5173", "for the page of a dev server"),
        ],
        "exec" => &[
            ("countersign exec -- npm test", "the tests find the proxy in COUNTERSIGN_URL"),
            ("countersign exec -- sh -c 'curl $COUNTERSIGN_URL/orders'", "one request by curl"),
        ],
        "sandbox" => &[
            ("countersign sandbox", "then run the curl line that it prints"),
            ("countersign sandbox --backend http://localhost:3000", "with a server of yours as the API"),
            ("countersign sandbox --credentials-lifetime 30s", "to watch credentials being refreshed"),
            ("countersign sandbox --write . --state .sandbox", "for a front end, with users that last"),
        ],
        "login" => &[
            ("countersign login", "asks for user name and password"),
            ("countersign login --username ada", "asks for the password alone"),
            (
                "countersign login --browser --domain NAME.auth.eu-west-1.amazoncognito.com",
                "on the pool's pages",
            ),
        ],
        "init" => &[
            ("countersign init", "finds the ids in the files of this folder and asks for the rest"),
            ("countersign init --from cdk-outputs.json", "from a file"),
        ],
        "logout" => &[("countersign logout", "the refresh token is revoked as well")],
        "whoami" => &[
            ("countersign whoami", "for people"),
            ("countersign whoami --json | jq -r .identity_id", "for programs"),
        ],
        "credentials" => &[
            ("credential_process = countersign credentials", "in a profile of ~/.aws/config"),
            ("countersign credentials --config /etc/countersign.toml", "with the settings of a file"),
        ],
        "call" => &[
            ("countersign call GET /orders", "a path below the upstream"),
            (
                "countersign call GET https://ID.execute-api.eu-west-1.amazonaws.com/prod/orders",
                "a whole URL",
            ),
            (
                "countersign call POST /orders -d '{\"item\":1}' -i",
                "a JSON body, and the response head as well",
            ),
        ],
        "ws" => &[
            ("countersign ws", "the API itself; type lines, and Ctrl-D to end"),
            (
                "countersign ws '/?room=1' --protocol chat < messages.txt",
                "sends each line of a file, and prints the answers",
            ),
            ("countersign ws --wait 2h < /dev/null", "prints what the API sends, until it closes"),
        ],
        "explain" => &[
            ("countersign explain GET /orders", "with example credentials"),
            (
                "countersign explain GET /orders --compare answer.txt",
                "and what a saved answer of curl -i means",
            ),
        ],
        "check" => &[
            ("countersign check", "what is set, and whether it is valid"),
            ("countersign check --all", "with every default"),
            ("countersign check --online", "signs in as well"),
        ],
        "healthcheck" => &[
            ("countersign healthcheck", "asks localhost:8182"),
            ("countersign healthcheck --admin-listen 127.0.0.1:9001", "asks another admin listener"),
        ],
        "inspect" => &[
            ("countersign inspect", "opens the page in the browser"),
            ("countersign inspect --follow", "prints the requests in the terminal"),
        ],
        "wait" => &[
            ("countersign wait && npm test", "the tests start once requests can be signed"),
            ("countersign wait --max 2m", "waits longer"),
        ],
        "completions" => &[
            (
                "countersign completions bash > ~/.local/share/bash-completion/completions/countersign",
                "for bash",
            ),
            ("countersign completions fish > ~/.config/fish/completions/countersign.fish", "for fish"),
        ],
        "man" => &[(
            "countersign man ~/.local/share/man/man1",
            "for the man command, which then knows countersign-serve",
        )],
        _ => return None,
    })
}

/// The examples of `command`, as help prints them.
pub(super) fn help(command: &str) -> Option<String> {
    let lines = of(command)?.iter().map(|(line, about)| format!("  {line}\n      {about}\n"));
    Some(format!("Examples:\n{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use crate::cli::{parse, tree};

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        for command in tree().get_subcommands() {
            let text = super::help(command.get_name()).unwrap_or_else(|| panic!("{}", command.get_name()));
            let lines = text.lines().filter_map(|line| line.strip_prefix("  countersign "));
            for line in lines {
                // What belongs to the shell ends the command.
                let words =
                    line.split_whitespace().take_while(|word| !matches!(*word, "|" | "&&" | ">" | "<"));
                let parsed = parse(["countersign"].into_iter().chain(words));
                assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
            }
        }
    }
}
