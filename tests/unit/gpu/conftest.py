from tests.gpu.fixtures import driver as driver
from tests.gpu.fixtures import nvml as nvml
from tests.gpu.shimmed import lease as lease
