// The pages in the bundle do not use the editor for templates.
export default () => null;
