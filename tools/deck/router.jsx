// Links of @uirouter/react as plain text: there is one page here.
import * as React from 'react';
export const useSref = () => ({ href: '#' });
export const useRouter = () => ({ stateService: { go() {} } });
export const UISref = ({ children }) => children;
export const UISrefActive = ({ children }) => children;
export const UIView = () => null;
export const ManualAnalysisModal = () => null;
