//! What help and the manual pages say of each command besides its one line.

/// The first paragraphs of the long help and of the manual page.
pub(super) fn of(command: &str) -> Option<&'static str> {
    Some(match command {
        "countersign" => {
            "A front end, a tool or a test sends plain HTTP requests to Countersign. It signs each one with AWS Signature \
             Version 4 as the user who is signed in to a Cognito user pool, and forwards it to an API behind IAM: API \
             Gateway, AppSync, a Lambda function URL and others."
        }
        "serve" => {
            "The proxy signs each request that it gets and forwards it to the upstream. It refreshes tokens and credentials \
             before they expire. SIGTERM and SIGINT let requests under way finish, within --drain-timeout; SIGHUP reads the \
             configuration again."
        }
        "exec" => {
            "The proxy listens on a free port, and the program finds its URL, without a slash at the end, in the variable \
             COUNTERSIGN_URL. Standard output belongs to the program; SIGTERM, SIGINT and SIGHUP are passed on to it."
        }
        "sandbox" => {
            "The sandbox plays the parts of AWS, so that no account is needed: users sign in to its user pool, its identity \
             pool issues credentials, and its API verifies each signature. Once it runs, it prints a curl command to try."
        }
        "init" => "The file goes into the current folder, with a comment on where each id was found.",
        "login" => {
            "It asks for user name, password and codes, or opens the pool's pages with --browser. The session is stored for \
             this user alone. A proxy that waits for a sign-in goes on without a restart."
        }
        "logout" => "The user pool revokes the refresh token, so that copies of it are of no use either.",
        "whoami" => "It signs in with the stored session, or as the settings say, and fetches credentials.",
        "credentials" => {
            "It never asks for a password: run countersign login before, or set username and password-file. Each call \
             fetches new credentials. None are written to disk."
        }
        "call" => {
            "No proxy needs to run. The response body goes to standard output, and what a gateway's refusal means to \
             standard error."
        }
        "ws" => "No proxy needs to run. The handshake is signed as the proxy signs one.",
        "explain" => {
            "It prints the request as it would be sent, the canonical request and the string to sign. With --compare it says \
             what a saved answer means, and where the gateway's own canonical request differs."
        }
        "check" => {
            "It lists every mistake in one run, with the nearest valid name for each wrong one, and ends in a verdict."
        }
        "healthcheck" => "It asks the admin listener, for images that have no shell and no curl.",
        "inspect" => {
            "It asks the admin listener for the token that the page needs. Where standard output is no terminal, it only \
             prints the URL."
        }
        "wait" => "It asks the admin listener again and again, for scripts that need a proxy that can sign.",
        "completions" => {
            "The script goes to standard output; the examples put it where the shell looks for it."
        }
        "man" => "The pages are countersign.1, and countersign-COMMAND.1 for each command.",
        _ => return None,
    })
}

/// What the short help says at its end as well.
pub(super) fn notes(command: &str) -> Option<&'static str> {
    Some(match command {
        "countersign" => {
            "Each setting is a flag (--user-pool-id), a variable (COUNTERSIGN_USER_POOL_ID) and a key of the file \
             (user-pool-id); the first of these wins."
        }
        "exec" => "The program starts once there are credentials, and the proxy ends with it.",
        "init" => {
            "Without --from, this folder and those above it, up to the root of the Git repository, are searched for \
             amplify_outputs.json, amplifyconfiguration.json, aws-exports.js, cdk-outputs.json, .sst/outputs.json and \
             samconfig.toml. On a terminal, init asks for what it does not find."
        }
        "ws" => {
            "After the end of the input (Ctrl-D at a terminal), the connection stays open as long as messages come within \
             --wait of each other, 2s if the input is no terminal and 0s if it is one. Then it is closed with 1000. A \
             binary message is printed as base64 behind \"binary: \"."
        }
        "inspect" => "The proxy keeps requests when it is started with --inspect heads or --inspect bodies.",
        "explain" => "Example credentials take the place of real ones, unless --online is given.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::tree;

    #[test]
    fn every_command_is_described() {
        for command in tree().get_subcommands() {
            assert!(super::of(command.get_name()).is_some(), "{}", command.get_name());
        }
    }
}
