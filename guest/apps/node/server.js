// SPDX-License-Identifier: Apache-2.0
require("http").createServer((request, response) => {
	response.end(`Hello from node ${process.version}: ${request.url}\n`);
}).listen(80, "0.0.0.0");
