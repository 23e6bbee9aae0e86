const path = require('path');
const src = path.resolve('node_modules/@spinnaker/kayenta/src');
const stub = { '@spinnaker/core': './core.jsx', '@uirouter/react': './router.jsx', 'root/version.json': null };
require('esbuild').build({
  entryPoints: ['entry.jsx'], bundle: true, minify: true, outfile: 'deck.js', format: 'iife', target: 'es2019', legalComments: 'none', ignoreAnnotations: true,
  loader: { '.less': 'empty', '.css': 'empty', '.svg': 'empty', '.png': 'empty', '.html': 'text' },
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  nodePaths: [path.resolve('node_modules')], logLimit: 20, jsx: 'transform',
  plugins: [{ name: 'deck', setup(b) {
    b.onResolve({ filter: /^kayenta($|\/)/ }, (a) => b.resolve('./' + a.path, { resolveDir: src, kind: a.kind }));
    b.onResolve({ filter: /^@spinnaker\/core$/ }, () => ({ path: path.resolve('core.jsx') }));
    b.onResolve({ filter: /^(brace|react-ace|ace-builds)/ }, () => ({ path: path.resolve('editor.jsx') }));
    b.onResolve({ filter: /ManualAnalysisModal$/ }, () => ({ path: path.resolve('router.jsx') }));
    b.onResolve({ filter: /^@uirouter\/(react|core|react-hybrid)$/ }, () => ({ path: path.resolve('router.jsx') }));
    b.onResolve({ filter: /^@spinnaker\/presentation/ }, () => ({ path: path.resolve('core.jsx') }));
  } }],
}).catch(() => process.exit(1));
