"""Kernels of a space, measured on this machine for a few seconds, and what the table then says of a random network."""

import numpy as np

import splitkit as sk


def main() -> None:
    space: sk.SearchSpace = sk.load_space("tiny")
    system: sk.System = sk.load_system("demo")
    with sk.LatencyTable("latency.db") as table:
        for side in ("sensor", "aggregator"):
            report = sk.build_table(table, space, system, side, networks=2, seed=1)
            print(f"{side}: {report.measured} kernels measured, {report.reused} known before")
        predictor = sk.SystemPredictor(space, system, table)
        prediction = predictor.predict_one(sk.Sampler(space, np.random.default_rng(1)).uniform())
    print(f"{prediction.total_us[0]:.0f} us, {prediction.measured_fraction[0]:.0%} of it from measured kernels")


if __name__ == "__main__":  # tables are built by several processes, each of which imports this file
    main()
