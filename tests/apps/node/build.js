const ms = require('ms');
require('fs').writeFileSync('built.json', JSON.stringify({ day: ms('1d') }));
