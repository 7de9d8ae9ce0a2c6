# SPDX-License-Identifier: Apache-2.0
import json
import platform

primes = [n for n in range(2, 8000) if all(n % d for d in range(2, int(n**0.5) + 1))]
result = json.loads(json.dumps({"prime": primes[999]}))
print(f"Hello from Python {platform.python_version()}: {result['prime']} is the 1000th prime")
