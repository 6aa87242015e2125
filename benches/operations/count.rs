//! Runs one operation for callgrind, which counts within [`counted`]; without a name, prints all names.

mod operation;

use std::hint::black_box;

/// How many runs precede the counted one, to fill caches.
const WARM_UP: usize = 3;

#[expect(clippy::print_stdout, reason = "the names are what was asked for")]
fn main() {
    let wanted = std::env::args().nth(1);
    for mut operation in operation::all() {
        match &wanted {
            None => println!("{}", operation.name),
            Some(name) if name == operation.name => {
                for _ in 0..WARM_UP {
                    (operation.prepare)()();
                }
                counted((operation.prepare)());
            }
            Some(_) => {}
        }
    }
}

#[inline(never)]
fn counted(run: Box<dyn FnOnce()>) {
    run();
    // Keeps the call above from being the function's last, which would make a jump of it.
    black_box(());
}
