"""A search on a modelled system: nothing is measured, so it takes a minute. Trained far too briefly to be of use."""

from pathlib import Path

import splitkit as sk

space, system = sk.load_space("tiny"), sk.load_system("hmd")
data = sk.load_dataset("digits", space)
schedule = sk.default_train_config(space).model_copy(update={"steps": 30})
supernet = sk.train(space, data, schedule, Path("supernet.pt"))
evaluator = sk.SupernetEvaluator(supernet, data.search, sk.calibration_images(data.train))
with sk.LatencyTable("latency.db") as table:
    predictor = sk.SystemPredictor(space, system, table)
    result: sk.SearchResult = sk.search(
        space, system, predictor, evaluator, sk.SearchConfig(population=8, generations=3)
    )
for point in result.merged_front:
    print(f"{point.accuracy:.1%}  {point.total_us:7.1f} us  {point.architecture}")
