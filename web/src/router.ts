import { createRouter, createWebHistory } from 'vue-router'

/** Pages load on demand, so that the wall display does not wait for the ledger's table. */
export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'overview', component: () => import('./pages/overview/OverviewPage.vue') },
    { path: '/forecast', name: 'forecast', component: () => import('./pages/forecast/ForecastPage.vue') },
    { path: '/ledger', name: 'ledger', component: () => import('./pages/ledger/LedgerPage.vue') },
    { path: '/planning', name: 'planning', component: () => import('./pages/planning/PlanningPage.vue') },
    { path: '/data', name: 'data', component: () => import('./pages/data/DataPage.vue') },
    { path: '/:path(.*)*', redirect: '/' },
  ],
})
