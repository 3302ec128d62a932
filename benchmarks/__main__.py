"""``make bench``: every figure beside a peer or a bound measured in the same run; ratios are what to trust."""

import importlib
import sys
import traceback

BENCHES = (
    "bench_rating", "bench_decide", "bench_batch", "bench_decks", "bench_radius", "bench_store", "bench_store_postgres",
    "bench_growth", "bench_accounts", "bench_start", "bench_esl", "bench_daemon", "bench_http",
)  # fmt: skip


def main() -> int:
    """Run the benches named on the command line, or all, and return 1 where one failed."""
    failed = 0
    for name in sys.argv[1:] or BENCHES:
        print(f"\n== {name} (python -m benchmarks.{name})", flush=True)
        sys.argv = [f"benchmarks.{name}"]
        try:
            failed += bool(importlib.import_module(f"benchmarks.{name}").main())
        except Exception:
            traceback.print_exc()
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
