import js from '@eslint/js'
import tseslint from 'typescript-eslint'

/** What a layer may not import: packages that belong elsewhere, and the layers above it. */
const forbid = (layer, { packages = [], layers = [] }) => ({
  files: [`src/${layer}/**`],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        paths: packages,
        patterns: layers.map((name) => ({
          group: [`**/${name}/*`],
          allowTypeImports: true,
          message: `${layer} must not know about ${name}.`,
        })),
      },
    ],
  },
})

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'data', '**/*.cjs', '**/*.mjs', 'docs'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['*.js', 'test/support/*.js'] } },
    },
  },
  {
    rules: {
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  forbid('db', {
    packages: ['express', 'axios', 'ioredis', 'undici'],
    layers: ['services', 'controllers', 'routes', 'workers'],
  }),
  forbid('services', { packages: ['express', 'axios', 'undici', 'pg'], layers: ['controllers', 'routes', 'workers'] }),
  forbid('workers', { packages: ['express', 'axios', 'pg'], layers: ['controllers', 'routes'] }),
  forbid('controllers', { packages: ['axios', 'undici', 'pg', 'ioredis'], layers: ['db', 'routes', 'workers'] }),
  forbid('routes', { packages: ['axios', 'undici', 'pg', 'ioredis'], layers: ['db', 'workers'] }),
  forbid('clients', { packages: ['express', 'pg'], layers: ['services', 'controllers', 'routes', 'workers', 'db'] }),
  forbid('webhooks', { packages: ['express', 'pg'], layers: ['services', 'controllers', 'routes', 'workers', 'db'] }),
  { files: ['*.js', 'test/support/*.js'], ...tseslint.configs.disableTypeChecked },
  {
    files: ['*.js', 'test/support/*.js'],
    languageOptions: { globals: { process: 'readonly', URL: 'readonly', console: 'readonly' } },
  },
  {
    files: ['test/**', 'src/**/*.test.ts', 'bench/**'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
)
