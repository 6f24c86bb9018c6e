//! What the benchmarks share: payload sizes and the table printer.
