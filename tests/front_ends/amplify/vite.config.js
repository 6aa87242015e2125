import { defineConfig, loadEnv } from 'vite';

export default defineConfig(({ mode }) => ({
  esbuild: { jsx: 'automatic' },
  server: {
    proxy: {
      '/api': {
        target: loadEnv(mode, process.cwd()).VITE_PROXY_URL,
        changeOrigin: true,
        rewrite: (path) => path.replace(/^\/api/, ''),
      },
    },
  },
}));
