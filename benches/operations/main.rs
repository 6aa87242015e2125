//! Times the parts of the data path that are pure computation.

mod operation;

use criterion::{BatchSize, Criterion};

use operation::Operation;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for operation in operation::all() {
        let Operation { name, mut prepare } = operation;
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(&mut prepare, |run| run(), BatchSize::SmallInput);
        });
    }
    criterion.final_summary();
}
