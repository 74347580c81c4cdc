const http = require('http');
const ms = require('ms');
const built = require('./built.json');

const server = http.createServer((request, response) => {
  response.end(`Hello from Node.js, ${ms(built.day)}\n`);
});
server.listen(process.env.PORT || 5000, '0.0.0.0');
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
