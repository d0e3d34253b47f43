package android.content;

import android.content.pm.PackageManager;
import android.content.res.AssetManager;
import android.content.res.Resources;
import java.io.File;

public class Context {
    public AssetManager getAssets() {
        throw new UnsupportedOperationException();
    }

    public File getFilesDir() {
        throw new UnsupportedOperationException();
    }

    public PackageManager getPackageManager() {
        throw new UnsupportedOperationException();
    }

    public String getPackageName() {
        throw new UnsupportedOperationException();
    }

    public Resources getResources() {
        throw new UnsupportedOperationException();
    }

    public int checkSelfPermission(String permission) {
        throw new UnsupportedOperationException();
    }

    public final String getString(int identifier) {
        throw new UnsupportedOperationException();
    }
}
