// Replaces the links of @uirouter/react by plain text, as there is only one page.
import * as React from 'react';
export const useSref = () => ({ href: '#' });
export const useRouter = () => ({ stateService: { go() {} } });
export const UISref = ({ children }) => children;
export const UISrefActive = ({ children }) => children;
export const UIView = () => null;
export const ManualAnalysisModal = () => null;
