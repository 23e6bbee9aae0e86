// The editor of templates is not on the pages that are looked at.
export default () => null;
